// Isolating and resetting circuits. The token lives in this variable and nowhere else.

let token = null;
let asked = null; // {flow, action}

const EFFECTS = {
  isolate: "Its requests are not called any more: callers are told at once that it is unavailable, one-way requests wait. This lasts until somebody resets it or the worker starts anew.",
  reset: "Its circuit closes, its failures are forgotten, and calls go out again at once.",
};

function askToSteer(flow, action) {
  asked = { flow, action };
  if (action === "reset" && token !== null) {
    steer();
    return;
  }
  openSteering("");
}

function openSteering(refused) {
  const { flow, action } = asked;
  say(byId("steering-title"), action === "isolate" ? `Isolate flow ${flow}?` : `Reset flow ${flow}?`);
  say(byId("steering-effect"), EFFECTS[action]);
  say(byId("confirm"), action === "isolate" ? "Isolate" : "Reset");
  for (const id of ["token-label", "token-note"]) byId(id).hidden = token !== null;
  byId("token").required = token === null;
  if (!byId("steering").open) byId("steering").showModal();
  say(byId("refused"), refused);
  byId(token === null ? "token" : "cancel").focus();
}

async function steer() {
  const { flow, action } = asked;
  const refused = await refusal(`flows/${encodeURIComponent(flow)}/${action}`);
  if (refused === null) {
    byId("steering").close();
  } else {
    openSteering(refused);
  }
}

// The sentence that says why nothing was done, or null.
async function refusal(path) {
  try {
    const response = await fetch(path, { method: "POST", headers: { Authorization: `Bearer ${token}` } });
    if (response.ok) return null;
    if (response.status === 401) token = null;
    return response.status === 401 ? "That is not the admin token." : (await response.json()).error;
  } catch (error) {
    return `Nothing was done: ${error.message}.`;
  }
}

function prepareSteering() {
  byId("steering-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (token === null) token = byId("token").value.trim();
    byId("token").value = "";
    steer();
  });
  byId("cancel").addEventListener("click", () => byId("steering").close());
  byId("steering").addEventListener("close", () => {
    byId("token").value = "";
    say(byId("refused"), "");
  });
}
