// The events behind the bodies. All of them are invented; the GUIDs were drawn at random for this file.

using System;
using System.Collections.Generic;
using Fixtures.Contracts;

namespace Fixtures
{
    internal static partial class Events
    {
        private static readonly Guid Account = new Guid("4fddb465-fb87-4db1-823d-fc6d022607ec");
        private static readonly Guid Contact = new Guid("ee54cdcc-f27a-49b5-9b6f-ca799e8d339c");
        private static readonly Guid OtherContact = new Guid("8d7f6eff-4608-4187-9859-4bd81e660e8d");
        private static readonly Guid BusinessUnit = new Guid("ed187b24-1826-4a28-b940-41a95f410420");
        private static readonly Guid Organization = new Guid("64594c23-a4b1-4702-be87-47bab2b2d190");
        private static readonly Guid User = new Guid("3870c5c3-9ecf-4092-a37c-285293b066e1");
        private static readonly Guid UserInEntra = new Guid("00f8dd11-f96a-4e49-9081-3b40b1782eaa");
        private static readonly Guid InitiatingUser = new Guid("a000eec7-2a1a-43e2-8b59-e2afe5fdb9ff");
        private static readonly Guid InitiatingUserInEntra = new Guid("c588998b-46ae-41ee-b8f1-71de26542c3f");
        private static readonly Guid Correlation = new Guid("f86b9d76-fdd1-4cf4-ae06-89f4c09d78dc");
        private static readonly Guid Operation = new Guid("8a36548c-bf6a-4663-8490-dd552fc10e00");
        private static readonly Guid Request = new Guid("eacaf439-921a-404c-bcf0-d72c180eed21");
        private static readonly Guid Step = new Guid("533de884-528d-45cd-afaa-f89e12818961");
        private static readonly Guid Token = new Guid("a7822c04-5b54-4bf0-903d-3a548ac0a64b");

        private static readonly DateTime Noon = new DateTime(2026, 3, 14, 11, 59, 26, 535, DateTimeKind.Utc);

        public static Dictionary<string, RemoteExecutionContext> All() => new Dictionary<string, RemoteExecutionContext>
        {
            { "create_account", CreateAccount() },
            { "update_contact", UpdateContact() },
            { "delete_account", DeleteAccount() },
            { "associate", Associate() },
            { "custom_api", CustomApi() },
            { "retrieve_multiple", RetrieveMultiple() },
            { "deep_insert", DeepInsert() },
            { "truncated", Truncated() },
            { "edge_values", EdgeValues() },
            { "not_finite", NotFinite() },
            { "large_text", LargeText() },
        };

        public static RemoteExecutionContext CreateAccount()
        {
            var target = Row("account", Account);
            target.EntityState = EntityState.Created;
            target.RowVersion = "4711";
            target.KeyAttributes.Add("contoso_code", "C-ü/17");
            target.Attributes = new AttributeCollection
            {
                { "name", "Contoso Ünïted \"Łódź\" \\ Søn & <東京> 😀" },
                { "websiteurl", "https://contoso.example/?a=1&b='2'" },
                { "description", "first line\r\nsecond\tline" },
                { "tickersymbol", "" },
                { "numberofemployees", 1250 },
                { "versionnumber", 9007199254740993L },
                { "exchangerate", 1.0000000000m },
                { "contoso_margin", -12.3400m },
                { "address1_latitude", 52.520008 },
                { "creditonhold", false },
                { "donotemail", true },
                { "createdon", Noon },
                { "lastonholdtime", new DateTime(2026, 3, 14, 8, 0, 0, DateTimeKind.Utc) },
                { "accountid", Account },
                { "creditlimit", new Money { Value = 79228162514264.3375m } },
                { "revenue", new Money { Value = 100m } },
                { "statuscode", Choice(1) },
                { "contoso_interests", Choices(100000001, 100000003) },
                { "primarycontactid", Reference("contact", Contact, "Zoë O'Neil") },
                { "ownerid", Reference("systemuser", User) },
                { "transactioncurrencyid", ByKey("transactioncurrency", "isocurrencycode", "EUR") },
                { "modifiedonbehalfby", null },
                { "entityimage", new byte[] { 0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0xff } },
                { "requiredattendees", new[] { Party(Contact, 5), Party(OtherContact, 6) } },
                { "optionalattendees", Rows("activityparty", Party(OtherContact, 6)) },
            };
            target.FormattedValues = new FormattedValueCollection
            {
                { "creditlimit", "€ 79.228.162.514.264,34" },
                { "donotemail", "Do Not Allow" },
                { "statuscode", "Active" },
            };

            var context = Context("Create", "account", Account);
            context.Stage = 40;
            context.InitiatingUserAgent = "";
            context.InputParameters.Add("Target", target);
            context.OutputParameters.Add("id", Account);
            context.SharedVariables.Add("IsAutoTransact", true);
            context.SharedVariables.Add("AcceptLang", "de-AT,de;q=0.9");
            context.SharedVariables.Add("DefaultsAddedFlag", true);
            return context;
        }

        private static RemoteExecutionContext UpdateContact()
        {
            var target = Row("contact", Contact);
            target.EntityState = EntityState.Changed;
            target.Attributes.Add("jobtitle", "Geschäftsführerin");
            target.Attributes.Add("parentcustomerid", Reference("account", Account));

            var before = Row("contact", Contact);
            before.Attributes.Add("jobtitle", null);
            before.Attributes.Add("fullname", "Zoë O'Neil");
            before.Attributes.Add("familystatuscode", Choice(2));
            before.FormattedValues.Add("familystatuscode", "Married");
            var after = Row("contact", Contact);
            after.Attributes.Add("jobtitle", "Geschäftsführerin");
            after.Attributes.Add("annualincome", new Money { Value = 81000.5m });

            var context = Context("Update", "contact", Contact);
            context.Mode = 1;
            context.Stage = 40;
            context.Depth = 3;
            context.IsInTransaction = false;
            context.InitiatingUserAgent = "Contoso.Import/2.1 (+https://contoso.example)";
            context.InputParameters.Add("Target", target);
            context.InputParameters.Add("ConcurrencyBehavior", 0);
            context.PreEntityImages.Add("before", before);
            context.PostEntityImages.Add("after", after);
            context.SharedVariables.Add("ChangedEntityTypes", new Dictionary<string, string>
            {
                { "contact", "Update" },
                { "account", "Update" },
            });

            var parent = Context("Update", "contact", Contact);
            parent.Stage = 30;
            parent.Depth = 2;
            parent.RequestId = null;
            parent.InputParameters.Add("Target", target);
            var grandparent = Context("contoso_Promote", null, Guid.Empty);
            grandparent.Stage = 30;
            grandparent.OwningExtension = null;
            grandparent.InputParameters.Add("Contact", Reference("contact", Contact));
            parent.ParentContext = grandparent;
            context.ParentContext = parent;
            return context;
        }

        private static RemoteExecutionContext DeleteAccount()
        {
            var before = Row("account", Account);
            before.Attributes.Add("name", "Contoso Alt");
            before.Attributes.Add("accountid", Account);

            var context = Context("Delete", "account", Account);
            context.Stage = 20;
            context.InputParameters.Add("Target", Reference("account", Account));
            context.PreEntityImages.Add("before", before);
            return context;
        }

        private static RemoteExecutionContext Associate()
        {
            var related = new EntityReferenceCollection
            {
                Reference("contact", Contact),
                Reference("contact", OtherContact, "Örjan Åkesson"),
            };
            var context = Context("Associate", null, Guid.Empty);
            context.Stage = 40;
            context.InputParameters.Add("Target", Reference("account", Account));
            context.InputParameters.Add("Relationship", new Relationship
            {
                SchemaName = "contoso_account_contact",
                PrimaryEntityRole = EntityRole.Referenced,
            });
            context.InputParameters.Add("RelatedEntities", related);
            return context;
        }

        private static RemoteExecutionContext CustomApi()
        {
            var row = Row("account", Account);
            row.Attributes.Add("name", "Contoso");
            row.Attributes.Add("contoso_interests", Choices(1, 2));
            var open = new Entity();
            open.Attributes.Add("answer", 42);

            var context = Context("contoso_Everything", null, Guid.Empty);
            context.Stage = 30;
            context.IsolationMode = 2;
            context.InputParameters = new ParameterCollection
            {
                { "Boolean", true },
                { "DateTime", Noon },
                { "Decimal", 1.230m },
                { "Entity", row },
                { "OpenEntity", open },
                { "EntityCollection", Rows("contact", Row("contact", Contact), Row("contact", OtherContact)) },
                { "EntityReference", Reference("account", Account, "Contoso") },
                { "Float", 4.5e-7 },
                { "Integer", -2147483648 },
                { "Money", new Money { Value = 345.678m } },
                { "Picklist", Choice(2) },
                { "String", "\u2028 separators \u2029 and a / slash" },
                { "StringArray", new[] { "one", "", "drei/ß", null } },
                { "Guid", Token },
                { "Missing", null },
            };
            context.OutputParameters = new ParameterCollection
            {
                { "StringArray", new string[0] },
                { "EntityCollection", new EntityCollection() },
                { "Float", 2.0 },
            };
            return context;
        }

        private static RemoteExecutionContext RetrieveMultiple()
        {
            var recent = new FilterExpression { FilterOperator = LogicalOperator.Or, IsQuickFindFilter = true };
            recent.Conditions.Add(Where("createdon", ConditionOperator.OnOrAfter, Noon));
            recent.Conditions.Add(Where("revenue", ConditionOperator.GreaterThan, 1000.50m));
            recent.Conditions.Add(Where("address1_latitude", ConditionOperator.Between, 47.5, 55.25));
            var deepest = new FilterExpression();
            deepest.Conditions.Add(Where("donotemail", ConditionOperator.Equal, true));
            deepest.Conditions.Add(Where("modifiedby", ConditionOperator.EqualUserId));
            recent.Filters.Add(deepest);

            var query = new QueryExpression { EntityName = "account", NoLock = true, TopCount = 50 };
            query.ColumnSet.Columns.Add("name");
            query.ColumnSet.Columns.Add("revenue");
            query.Criteria.Conditions.Add(Where("name", ConditionOperator.Like, "Cöntoso%"));
            query.Criteria.Conditions.Add(Where("statecode", ConditionOperator.In, 0, 1));
            query.Criteria.Conditions.Add(Where("ownerid", ConditionOperator.Equal, User));
            query.Criteria.Conditions.Add(Where("contoso_interests", ConditionOperator.ContainValues, 3));
            query.Criteria.Filters.Add(recent);
            var link = new LinkEntity
            {
                LinkFromEntityName = "account",
                LinkFromAttributeName = "primarycontactid",
                LinkToEntityName = "contact",
                LinkToAttributeName = "contactid",
                JoinOperator = JoinOperator.LeftOuter,
                EntityAlias = "person",
            };
            link.Columns.AllColumns = true;
            link.LinkCriteria.Conditions.Add(Where("lastname", ConditionOperator.NotNull));
            query.LinkEntities.Add(link);
            query.Orders.Add(new OrderExpression { AttributeName = "name" });
            query.Orders.Add(new OrderExpression { AttributeName = "revenue", OrderType = OrderType.Descending });
            query.PageInfo = new PagingInfo
            {
                PageNumber = 2,
                Count = 25,
                PagingCookie = "<cookie page=\"1\"><name last=\"Contoso &amp; Co\" /></cookie>",
                ReturnTotalRecordCount = true,
            };

            var found = Row("account", Account);
            found.Attributes.Add("name", "Contoso");
            found.Attributes.Add("person.fullname", new AliasedValue
            {
                EntityLogicalName = "contact",
                AttributeLogicalName = "fullname",
                Value = "Zoë O'Neil",
            });
            var context = Context("RetrieveMultiple", "account", Guid.Empty);
            context.Stage = 40;
            context.InputParameters.Add("Query", query);
            context.OutputParameters.Add("BusinessEntityCollection", Rows("account", found));
            return context;
        }

        private static RemoteExecutionContext DeepInsert()
        {
            var child = Row("contact", Guid.Empty);
            child.Attributes.Add("lastname", "O'Neil");
            var note = Row("annotation", Guid.Empty);
            note.Attributes.Add("subject", "Willkommen");
            child.RelatedEntities.Add(new Relationship { SchemaName = "Contact_Annotation" }, Rows("annotation", note));
            var sibling = Row("contact", Guid.Empty);
            sibling.Attributes.Add("lastname", "Åkesson");
            var target = Row("account", Account);
            target.Attributes.Add("name", "Contoso");
            target.RelatedEntities.Add(
                new Relationship
                {
                    SchemaName = "contact_customer_accounts",
                    PrimaryEntityRole = EntityRole.Referenced,
                },
                Rows("contact", child, sibling));

            var context = Context("Create", "account", Account);
            context.Stage = 40;
            context.InputParameters.Add("Target", target);
            context.OutputParameters.Add("id", Account);
            return context;
        }

        private static RemoteExecutionContext Truncated()
        {
            var context = Context("Update", "account", Account);
            context.Mode = 1;
            context.Stage = 40;
            context.ParentContext = null;
            context.InputParameters = null;
            context.PreEntityImages = null;
            context.PostEntityImages = null;
            return context;
        }
    }
}
