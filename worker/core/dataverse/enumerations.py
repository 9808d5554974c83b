"""Enumerations of Microsoft.Xrm.Sdk whose values XML writes by name, in the order of their numbers from 0."""

from typing import Final

ENTITY_STATES: Final = ("Unchanged", "Created", "Changed")
ENTITY_ROLES: Final = ("Referencing", "Referenced")
LOGICAL: Final = ("And", "Or")
ORDERS: Final = ("Ascending", "Descending")
JOINS: Final = (
    "Inner",
    "LeftOuter",
    "Natural",
    "MatchFirstRowUsingCrossApply",
    "In",
    "Exists",
    "Any",
    "NotAny",
    "All",
    "NotAll",
)
_OPERATORS: Final = """
Equal NotEqual GreaterThan LessThan GreaterEqual LessEqual Like NotLike In NotIn Between NotBetween Null NotNull
Yesterday Today Tomorrow Last7Days Next7Days LastWeek ThisWeek NextWeek LastMonth ThisMonth NextMonth On OnOrBefore
OnOrAfter LastYear ThisYear NextYear LastXHours NextXHours LastXDays NextXDays LastXWeeks NextXWeeks LastXMonths
NextXMonths LastXYears NextXYears EqualUserId NotEqualUserId EqualBusinessId NotEqualBusinessId ChildOf Mask NotMask
MasksSelect Contains DoesNotContain EqualUserLanguage NotOn OlderThanXMonths BeginsWith DoesNotBeginWith EndsWith
DoesNotEndWith ThisFiscalYear ThisFiscalPeriod NextFiscalYear NextFiscalPeriod LastFiscalYear LastFiscalPeriod
LastXFiscalYears LastXFiscalPeriods NextXFiscalYears NextXFiscalPeriods InFiscalYear InFiscalPeriod
InFiscalPeriodAndYear InOrBeforeFiscalPeriodAndYear InOrAfterFiscalPeriodAndYear EqualUserTeams EqualUserOrUserTeams
Above Under NotUnder AboveOrEqual UnderOrEqual EqualUserOrUserHierarchy EqualUserOrUserHierarchyAndTeams
OlderThanXYears OlderThanXWeeks OlderThanXDays OlderThanXHours OlderThanXMinutes ContainValues DoesNotContainValues
"""
CONDITION_OPERATORS: Final = tuple(_OPERATORS.split())
