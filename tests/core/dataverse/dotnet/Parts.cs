// What the events are put together from.

using System;
using Fixtures.Contracts;

namespace Fixtures
{
    internal static partial class Events
    {
        private static RemoteExecutionContext Context(string message, string table, Guid row) =>
            new RemoteExecutionContext
            {
                MessageName = message,
                PrimaryEntityName = table ?? "none",
                PrimaryEntityId = row,
                SecondaryEntityName = "none",
                BusinessUnitId = BusinessUnit,
                CorrelationId = Correlation,
                Depth = 1,
                InitiatingUserAzureActiveDirectoryObjectId = InitiatingUserInEntra,
                InitiatingUserId = InitiatingUser,
                IsInTransaction = true,
                IsolationMode = 1,
                OperationCreatedOn = Noon,
                OperationId = Operation,
                OrganizationId = Organization,
                OrganizationName = "unqcontoso0001",
                OwningExtension = Reference("sdkmessageprocessingstep", Step, "Contoso: " + message + " → queue"),
                RequestId = Request,
                UserAzureActiveDirectoryObjectId = UserInEntra,
                UserId = User,
            };

        private static Entity Row(string table, Guid id) => new Entity { LogicalName = table, Id = id };

        private static EntityCollection Rows(string table, params Entity[] rows)
        {
            var collection = new EntityCollection { EntityName = table };
            foreach (var row in rows) collection.Entities.Add(row);
            return collection;
        }

        private static Entity Party(Guid contact, int role)
        {
            var party = Row("activityparty", Guid.Empty);
            party.Attributes.Add("partyid", Reference("contact", contact));
            party.Attributes.Add("participationtypemask", Choice(role));
            return party;
        }

        private static EntityReference Reference(string table, Guid id, string name = null) =>
            new EntityReference { LogicalName = table, Id = id, Name = name };

        private static EntityReference ByKey(string table, string key, object value)
        {
            var reference = Reference(table, Guid.Empty);
            reference.KeyAttributes.Add(key, value);
            return reference;
        }

        private static OptionSetValue Choice(int value) => new OptionSetValue { Value = value };

        private static OptionSetValueCollection Choices(params int[] values)
        {
            var choices = new OptionSetValueCollection();
            foreach (var value in values) choices.Add(Choice(value));
            return choices;
        }

        private static ConditionExpression Where(string column, ConditionOperator condition, params object[] values)
        {
            var expression = new ConditionExpression { AttributeName = column, Operator = condition };
            foreach (var value in values) expression.Values.Add(value);
            return expression;
        }
    }
}
