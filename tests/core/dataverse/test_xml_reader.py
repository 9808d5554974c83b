import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.element import MAX_DEPTH, MAX_ELEMENTS, Element
from worker.core.dataverse.folding import NAMESPACES
from worker.core.dataverse.xml_reader import read_xml, root_of_xml
from worker.core.dataverse.xml_writer import write_xml

XSI = 'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'


def refused(text: str | bytes) -> str:
    with pytest.raises(ContextBroken) as broken:
        read_xml(text if isinstance(text, bytes) else text.encode(), 0)
    return str(broken.value)


def test_names_and_types_are_read_without_prefix() -> None:
    text = f'<a:b xmlns:a="urn:x" {XSI}><c i:type="a:d">1</c><c i:nil="true"/><c i:nil="false"> </c></a:b>'
    children = [Element("c", "d", text="1"), Element("c", is_nil=True), Element("c", text=" ")]
    assert read_xml(text.encode(), 0) == Element("b", children=children)


def test_only_the_schema_instances_own_attributes_count() -> None:
    assert read_xml(b'<a type="b" nil="true" xmlns:z="urn:z" z:type="c"/>', 0) == Element("a")


def test_text_comes_whole_whatever_it_is_made_of() -> None:
    text = "<a>1 &lt;<!-- no -->&#x20AC;<![CDATA[<b>]]><?target data?>\r\n2</a>"
    assert read_xml(text.encode(), 0).text == "1 <€<b>\n2"


def test_white_space_between_elements_is_dropped_and_other_text_refused() -> None:
    assert read_xml(b"<a>\n  <b/>\n</a>", 0) == Element("a", children=[Element("b")])
    assert "expected elements alone, found the text 'x'" in refused("<a> x <b/></a>")
    assert "expected elements alone, found the text 'y'" in refused("<a><b/>y</a>")


@pytest.mark.parametrize(
    "declaration",
    [
        "<!DOCTYPE a>",
        '<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd">',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]>',
        '<!DOCTYPE a [<!ATTLIST a b CDATA "c">]>',
    ],
)
def test_a_document_type_is_refused_before_anything_of_it_is_looked_at(declaration: str) -> None:
    assert refused(f"{declaration}<a>&c;</a>").startswith("expected no document type declaration, found one before")


def test_an_entity_that_nobody_declared_is_refused() -> None:
    assert "undefined entity" in refused("<a>&b;</a>")


def test_what_is_wrong_is_told_with_its_byte() -> None:
    assert refused("<é>é</b>").startswith("not XML at byte 8: mismatched tag")
    assert refused("").startswith("not XML at byte 0: no element found")
    assert refused("<a/><b/>").startswith("not XML at byte 4: junk after document element")
    assert refused(b"<a>\xff</a>").startswith("not XML at byte 3: not well-formed")
    with pytest.raises(ContextBroken, match="at byte 110"):
        read_xml(b"<a>&x;</a>", 107)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "iso-8859-1"])
def test_other_encodings_are_read_where_they_are_declared(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><a>é</a>'
    if encoding == "utf-16-le":
        assert refused(text.encode(encoding))  # an order of bytes without a mark
    else:
        assert read_xml(text.encode(encoding), 0).text == "é"


def test_an_encoding_that_nobody_knows_is_refused() -> None:
    assert "unknown encoding" in refused('<?xml version="1.0" encoding="klingon"?><a/>')


def test_depth_and_number_of_elements_are_bounded() -> None:
    assert f"more than {MAX_DEPTH} inside each other" in refused("<a>" * 1_000_000)
    deepest = read_xml(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH, 0)
    assert deepest.name == "a"
    assert "more than 100,000 elements" in refused("<a>" + "<b/>" * MAX_ELEMENTS + "</a>")


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("<a/>", "a"),
        ("<x:a>", "a"),
        ('\n<?xml version="1.0"?> <!-- <b> --> <a b="c">', "a"),
        (f"<!--{' ' * 10_000}--><a>", "a"),
        ("<!DOCTYPE a><a/>", None),
        ("<!-- a", None),
        ("<a", None),
        ("text", None),
        ("", None),
    ],
)
def test_the_root_is_known_before_anything_is_read(text: str, root: str | None) -> None:
    assert root_of_xml(text.encode()) == root
    assert root_of_xml(text.encode("utf-16")) in (root, None)


NAMES = st.sampled_from(["key", "Value", "a.b-c_1"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn"]) | st.sampled_from("\t\n\r"))
TREES = st.recursive(
    st.builds(Element, NAMES, st.none() | NAMES, st.booleans(), st.none() | TEXTS.filter(bool)),
    lambda inner: st.builds(
        Element, NAMES, st.none() | NAMES, st.booleans(), st.none(), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@given(TREES)
def test_a_written_tree_is_read_back(tree: Element) -> None:
    assert read_xml(write_xml(tree, NAMESPACES), 0) == tree


@given(st.text(st.sampled_from("<>/ab&;!?[]-'\"= \n"), max_size=60))
@settings(max_examples=300)
def test_no_text_makes_the_reader_fall_over(text: str) -> None:
    try:
        tree = read_xml(text.encode(), 0)
    except ContextBroken as broken:
        told = str(broken)
    else:
        told = tree.name
    assert told
