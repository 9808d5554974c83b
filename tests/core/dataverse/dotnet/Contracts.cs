// What Microsoft.Xrm.Sdk's contracts put on the wire: their names, order and namespaces, none of their behaviour.
// Members without an order are written by name, those with one after them.

using System;
using System.Collections;
using System.Collections.Generic;
using System.Collections.ObjectModel;
using System.Runtime.Serialization;

[assembly: ContractNamespace("http://schemas.microsoft.com/xrm/2011/Contracts", ClrNamespace = "Fixtures.Contracts")]

namespace Fixtures.Contracts
{
    [DataContract, KnownType(nameof(Known))]
    public sealed class RemoteExecutionContext
    {
        [DataMember] public Guid BusinessUnitId { get; set; }
        [DataMember] public Guid CorrelationId { get; set; }
        [DataMember] public int Depth { get; set; }
        [DataMember] public string InitiatingUserAgent { get; set; }
        [DataMember] public Guid InitiatingUserAzureActiveDirectoryObjectId { get; set; }
        [DataMember] public Guid InitiatingUserId { get; set; }
        [DataMember] public ParameterCollection InputParameters { get; set; } = new ParameterCollection();
        [DataMember] public bool IsExecutingOffline { get; set; }
        [DataMember] public bool IsInTransaction { get; set; }
        [DataMember] public bool IsOfflinePlayback { get; set; }
        [DataMember] public int IsolationMode { get; set; }
        [DataMember] public string MessageName { get; set; }
        [DataMember] public int Mode { get; set; }
        [DataMember] public DateTime OperationCreatedOn { get; set; }
        [DataMember] public Guid OperationId { get; set; }
        [DataMember] public Guid OrganizationId { get; set; }
        [DataMember] public string OrganizationName { get; set; }
        [DataMember] public ParameterCollection OutputParameters { get; set; } = new ParameterCollection();
        [DataMember] public EntityReference OwningExtension { get; set; }
        [DataMember] public RemoteExecutionContext ParentContext { get; set; }
        [DataMember] public EntityImageCollection PostEntityImages { get; set; } = new EntityImageCollection();
        [DataMember] public EntityImageCollection PreEntityImages { get; set; } = new EntityImageCollection();
        [DataMember] public Guid PrimaryEntityId { get; set; }
        [DataMember] public string PrimaryEntityName { get; set; }
        [DataMember] public Guid? RequestId { get; set; }
        [DataMember] public string SecondaryEntityName { get; set; }
        [DataMember] public ParameterCollection SharedVariables { get; set; } = new ParameterCollection();
        [DataMember] public int Stage { get; set; }
        [DataMember] public Guid UserAzureActiveDirectoryObjectId { get; set; }
        [DataMember] public Guid UserId { get; set; }

        // What may stand where the contract says only "object".
        private static IEnumerable<Type> Known() => new[]
        {
            typeof(AliasedValue), typeof(ColumnSet), typeof(Entity), typeof(Entity[]), typeof(EntityCollection),
            typeof(EntityReference), typeof(EntityReference[]), typeof(EntityReferenceCollection),
            typeof(KeyAttributeCollection), typeof(Money), typeof(OptionSetValue), typeof(OptionSetValue[]),
            typeof(OptionSetValueCollection), typeof(PagingInfo), typeof(ParameterCollection), typeof(QueryExpression),
            typeof(Relationship), typeof(Dictionary<string, string>),
            typeof(bool[]), typeof(int[]), typeof(double[]), typeof(decimal[]), typeof(DateTime[]), typeof(Guid[]),
            typeof(string[]), typeof(string[][]),
        };
    }

    [DataContract]
    public sealed class Entity
    {
        [DataMember] public AttributeCollection Attributes { get; set; } = new AttributeCollection();
        [DataMember] public EntityState? EntityState { get; set; }
        [DataMember] public FormattedValueCollection FormattedValues { get; set; } = new FormattedValueCollection();
        [DataMember] public Guid Id { get; set; }
        [DataMember] public KeyAttributeCollection KeyAttributes { get; set; } = new KeyAttributeCollection();
        [DataMember] public string LogicalName { get; set; }
        [DataMember] public RelatedEntityCollection RelatedEntities { get; set; } = new RelatedEntityCollection();
        [DataMember] public string RowVersion { get; set; }
    }

    [DataContract]
    public sealed class EntityReference
    {
        [DataMember] public Guid Id { get; set; }
        [DataMember] public KeyAttributeCollection KeyAttributes { get; set; } = new KeyAttributeCollection();
        [DataMember] public string LogicalName { get; set; }
        [DataMember] public string Name { get; set; }
        [DataMember] public string RowVersion { get; set; }
    }

    [DataContract]
    public sealed class EntityCollection
    {
        [DataMember] public DataCollection<Entity> Entities { get; set; } = new DataCollection<Entity>();
        [DataMember] public string EntityName { get; set; }
        [DataMember] public string MinActiveRowVersion { get; set; }
        [DataMember] public bool MoreRecords { get; set; }
        [DataMember] public string PagingCookie { get; set; }
        [DataMember] public int TotalRecordCount { get; set; }
        [DataMember] public bool TotalRecordCountLimitExceeded { get; set; }
    }

    [DataContract]
    public sealed class OptionSetValue
    {
        [DataMember] public int Value { get; set; }
    }

    [DataContract]
    public sealed class Money
    {
        [DataMember] public decimal Value { get; set; }
    }

    [DataContract]
    public sealed class Relationship
    {
        [DataMember] public EntityRole? PrimaryEntityRole { get; set; }
        [DataMember] public string SchemaName { get; set; }
    }

    [DataContract]
    public sealed class AliasedValue
    {
        [DataMember] public string AttributeLogicalName { get; set; }
        [DataMember] public string EntityLogicalName { get; set; }
        [DataMember] public bool NeedFormatting { get; set; }
        [DataMember] public int ReturnType { get; set; }
        [DataMember] public object Value { get; set; }
    }

    public enum EntityState { Unchanged, Created, Changed }

    public enum EntityRole { Referencing, Referenced }

    public class DataCollection<T> : Collection<T> { }

    // A list of pairs to the serialiser: a dictionary would be written as KeyValueOf…, with Key and Value.
    public abstract class DataCollection<TKey, TValue> : IEnumerable<KeyValuePair<TKey, TValue>>
    {
        private readonly List<KeyValuePair<TKey, TValue>> pairs = new List<KeyValuePair<TKey, TValue>>();

        public void Add(KeyValuePair<TKey, TValue> pair) => pairs.Add(pair);
        public void Add(TKey key, TValue value) => pairs.Add(new KeyValuePair<TKey, TValue>(key, value));
        public IEnumerator<KeyValuePair<TKey, TValue>> GetEnumerator() => pairs.GetEnumerator();
        IEnumerator IEnumerable.GetEnumerator() => pairs.GetEnumerator();
    }

    [CollectionDataContract]
    public sealed class ParameterCollection : DataCollection<string, object> { }

    [CollectionDataContract]
    public sealed class AttributeCollection : DataCollection<string, object> { }

    [CollectionDataContract]
    public sealed class FormattedValueCollection : DataCollection<string, string> { }

    [CollectionDataContract]
    public sealed class EntityImageCollection : DataCollection<string, Entity> { }

    [CollectionDataContract]
    public sealed class RelatedEntityCollection : DataCollection<Relationship, EntityCollection> { }

    [CollectionDataContract(Namespace = "http://schemas.microsoft.com/xrm/7.1/Contracts")]
    public sealed class KeyAttributeCollection : DataCollection<string, object> { }

    [CollectionDataContract]
    public sealed class EntityReferenceCollection : DataCollection<EntityReference> { }

    [CollectionDataContract(Namespace = "http://schemas.microsoft.com/xrm/9.0/Contracts")]
    public sealed class OptionSetValueCollection : DataCollection<OptionSetValue> { }
}
