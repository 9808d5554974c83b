// Microsoft.Xrm.Sdk.Query on the wire, as far as a context's parameters hold it.

using System.Runtime.Serialization;

namespace Fixtures.Contracts
{
    [DataContract]
    public abstract class QueryBase { }

    [DataContract]
    public sealed class QueryExpression : QueryBase
    {
        [DataMember] public ColumnSet ColumnSet { get; set; } = new ColumnSet();
        [DataMember] public FilterExpression Criteria { get; set; } = new FilterExpression();
        [DataMember] public bool Distinct { get; set; }
        [DataMember] public string EntityName { get; set; }
        [DataMember] public DataCollection<LinkEntity> LinkEntities { get; set; } = new DataCollection<LinkEntity>();
        [DataMember] public DataCollection<OrderExpression> Orders { get; set; } =
            new DataCollection<OrderExpression>();
        [DataMember] public PagingInfo PageInfo { get; set; } = new PagingInfo();
        [DataMember(EmitDefaultValue = false)] public QueryExpression SubQueryExpression { get; set; }
        [DataMember(Order = 50)] public bool NoLock { get; set; }
        [DataMember(Order = 50, EmitDefaultValue = false)] public int? TopCount { get; set; }
        [DataMember(Order = 92, EmitDefaultValue = false)] public string QueryHints { get; set; }
        [DataMember(Order = 93, EmitDefaultValue = false)] public string DataSource { get; set; }
    }

    [DataContract]
    public sealed class ColumnSet
    {
        [DataMember] public bool AllColumns { get; set; }
        [DataMember] public DataCollection<AttributeExpression> AttributeExpressions { get; set; } =
            new DataCollection<AttributeExpression>();
        [DataMember] public DataCollection<string> Columns { get; set; } = new DataCollection<string>();
    }

    [DataContract]
    public sealed class AttributeExpression
    {
        [DataMember] public AggregateType AggregateType { get; set; }
        [DataMember] public string Alias { get; set; }
        [DataMember] public string AttributeName { get; set; }
        [DataMember] public DateTimeGroupingType DateTimeGrouping { get; set; }
        [DataMember] public bool HasGroupBy { get; set; }
    }

    [DataContract]
    public sealed class FilterExpression
    {
        [DataMember] public DataCollection<ConditionExpression> Conditions { get; set; } =
            new DataCollection<ConditionExpression>();
        [DataMember] public LogicalOperator FilterOperator { get; set; }
        [DataMember] public DataCollection<FilterExpression> Filters { get; set; } =
            new DataCollection<FilterExpression>();
        [DataMember(Order = 51, EmitDefaultValue = false)] public bool IsQuickFindFilter { get; set; }
        [DataMember(Order = 82, EmitDefaultValue = false)] public string FilterHint { get; set; }
    }

    [DataContract]
    public sealed class ConditionExpression
    {
        [DataMember] public string AttributeName { get; set; }
        [DataMember] public bool CompareColumns { get; set; }
        [DataMember] public ConditionOperator Operator { get; set; }
        [DataMember] public DataCollection<object> Values { get; set; } = new DataCollection<object>();
        [DataMember(Order = 60)] public string EntityName { get; set; }
    }

    [DataContract]
    public sealed class LinkEntity
    {
        [DataMember] public ColumnSet Columns { get; set; } = new ColumnSet();
        [DataMember] public string EntityAlias { get; set; }
        [DataMember] public JoinOperator JoinOperator { get; set; }
        [DataMember] public FilterExpression LinkCriteria { get; set; } = new FilterExpression();
        [DataMember] public DataCollection<LinkEntity> LinkEntities { get; set; } = new DataCollection<LinkEntity>();
        [DataMember] public string LinkFromAttributeName { get; set; }
        [DataMember] public string LinkFromEntityName { get; set; }
        [DataMember] public string LinkToAttributeName { get; set; }
        [DataMember] public string LinkToEntityName { get; set; }
        [DataMember(Order = 80)] public DataCollection<OrderExpression> Orders { get; set; } =
            new DataCollection<OrderExpression>();
    }

    [DataContract]
    public sealed class OrderExpression
    {
        [DataMember] public string Alias { get; set; }
        [DataMember] public string AttributeName { get; set; }
        [DataMember] public string EntityName { get; set; }
        [DataMember] public OrderType OrderType { get; set; }
    }

    [DataContract]
    public sealed class PagingInfo
    {
        [DataMember] public int Count { get; set; }
        [DataMember] public int PageNumber { get; set; }
        [DataMember] public string PagingCookie { get; set; }
        [DataMember] public bool ReturnTotalRecordCount { get; set; }
    }

    public enum LogicalOperator { And, Or }

    public enum OrderType { Ascending, Descending }

    public enum JoinOperator
    {
        Inner, LeftOuter, Natural, MatchFirstRowUsingCrossApply, In, Exists, Any, NotAny, All, NotAll,
    }

    public enum AggregateType { None, Count, CountColumn, Sum, Avg, Min, Max }

    public enum DateTimeGroupingType { None, Day, Week, Month, Quarter, Year, FiscalPeriod, FiscalYear }

    // JSON writes the numbers, so the order is part of the contract.
    public enum ConditionOperator
    {
        Equal, NotEqual, GreaterThan, LessThan, GreaterEqual, LessEqual, Like, NotLike, In, NotIn, Between, NotBetween,
        Null, NotNull, Yesterday, Today, Tomorrow, Last7Days, Next7Days, LastWeek, ThisWeek, NextWeek, LastMonth,
        ThisMonth, NextMonth, On, OnOrBefore, OnOrAfter, LastYear, ThisYear, NextYear, LastXHours, NextXHours,
        LastXDays, NextXDays, LastXWeeks, NextXWeeks, LastXMonths, NextXMonths, LastXYears, NextXYears, EqualUserId,
        NotEqualUserId, EqualBusinessId, NotEqualBusinessId, ChildOf, Mask, NotMask, MasksSelect, Contains,
        DoesNotContain, EqualUserLanguage, NotOn, OlderThanXMonths, BeginsWith, DoesNotBeginWith, EndsWith,
        DoesNotEndWith, ThisFiscalYear, ThisFiscalPeriod, NextFiscalYear, NextFiscalPeriod, LastFiscalYear,
        LastFiscalPeriod, LastXFiscalYears, LastXFiscalPeriods, NextXFiscalYears, NextXFiscalPeriods, InFiscalYear,
        InFiscalPeriod, InFiscalPeriodAndYear, InOrBeforeFiscalPeriodAndYear, InOrAfterFiscalPeriodAndYear,
        EqualUserTeams, EqualUserOrUserTeams, Under, NotUnder, UnderOrEqual, Above, AboveOrEqual,
        EqualUserOrUserHierarchy, EqualUserOrUserHierarchyAndTeams, OlderThanXYears, OlderThanXWeeks, OlderThanXDays,
        OlderThanXHours, OlderThanXMinutes, ContainValues, DoesNotContainValues,
    }
}
