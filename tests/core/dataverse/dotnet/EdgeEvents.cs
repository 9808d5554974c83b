// What no real event has all at once.

using System;
using System.Collections.Generic;
using System.Text;
using Fixtures.Contracts;

namespace Fixtures
{
    internal static partial class Events
    {
        private const string Prose =
            "Contoso und Fabrikam teilen sich ein Lager, und Łódź liegt dazwischen. Wer dort abholt, zahlt bei keinem " +
            "von beiden eine Lieferung; wer bei beiden bestellt, bekommt einen Karton statt zweier, und eine Rechnung " +
            "je Firma 😀. ";

        // Each width of number that the binary form knows, each kind of date, and the arrays.
        private static RemoteExecutionContext EdgeValues()
        {
            var context = Context("contoso_Edges", null, Guid.Empty);
            context.InputParameters = new ParameterCollection
            {
                { "Int0", 0 }, { "Int1", 1 }, { "Int8", -128 }, { "Int16", 32767 }, { "Int32", 2147483647 },
                { "Long0", 0L }, { "Long1", 1L }, { "Long8", 127L }, { "Long16", -32768L }, { "Long32", -2147483648L },
                { "Long64", long.MinValue }, { "LongMax", long.MaxValue },
                { "Double0", 0.0 }, { "DoubleInt", 3.0 }, { "DoubleFloat", 0.5 }, { "Double64", 0.1 },
                { "DoubleMax", double.MaxValue }, { "DoubleTiny", double.Epsilon }, { "DoubleBig", 1e21 },
                { "DoubleMinusZero", -0.0 },
                { "Decimal0", 0m }, { "DecimalScale", 0.00m }, { "DecimalMax", decimal.MaxValue },
                { "DecimalTiny", new decimal(1, 0, 0, true, 28) },
                { "DateUtc", Noon }, { "DateTicks", Noon.AddTicks(1234) },
                { "DateUnspecified", new DateTime(2026, 7, 1) },
                { "DateLocal", new DateTime(2026, 7, 1, 9, 30, 0, DateTimeKind.Local) },
                { "DateMin", DateTime.SpecifyKind(DateTime.MinValue, DateTimeKind.Utc) },
                { "DateBefore1970", new DateTime(1955, 11, 5, 6, 0, 0, DateTimeKind.Utc) },
                { "DateMax", DateTime.SpecifyKind(DateTime.MaxValue, DateTimeKind.Utc) },
                { "GuidZero", Guid.Empty },
                { "StringEmpty", "" }, { "StringSpace", " " }, { "StringSpaces", "  padded  " },
                { "StringLines", "a\nb\r\nc\td" }, { "StringLooksLikeDate", "/Date(0)/" },
                { "StringLooksLikeNumber", "1" }, { "StringTrue", "true" },
                { "BytesEmpty", new byte[0] }, { "Bytes1", new byte[] { 1 } }, { "Bytes300", Counted(300) },
                { "Bools", new[] { true, false, true } }, { "Ints", new[] { 0, -1, 70000 } },
                { "Doubles", new[] { 0.1, 2.0 } }, { "Decimals", new[] { 0.10m, 2m } },
                { "Dates", new[] { Noon, Noon.AddDays(1) } }, { "Guids", new[] { Token, Guid.Empty } },
                { "StringsOfStrings", new[] { new[] { "a", "b" }, new string[0] } },
                { "References", new[] { Reference("account", Account) } },
                { "OptionSets", new[] { Choice(7) } }, { "NoChoices", new OptionSetValueCollection() },
                { "Dictionary", new Dictionary<string, string> { { "k", "v" } } },
                { "Parameters", new ParameterCollection { { "inner", 1 } } },
                { "AliasedMoney", new AliasedValue { Value = new Money { Value = 1.5m }, ReturnType = 8 } },
                { "Object", new object() },
            };
            return context;
        }

        // Apart from the rest: what JSON makes of it is no JSON.
        private static RemoteExecutionContext NotFinite()
        {
            var context = Context("contoso_Edges", null, Guid.Empty);
            context.InputParameters.Add("NaN", double.NaN);
            context.InputParameters.Add("Infinity", double.PositiveInfinity);
            context.InputParameters.Add("MinusInfinity", double.NegativeInfinity);
            return context;
        }

        private static RemoteExecutionContext LargeText()
        {
            var target = Row("account", Account);
            target.Attributes.Add("name", Filled(300, "Straße/"));
            target.Attributes.Add("description", Filled(70001, Prose));
            var context = Context("Update", "account", Account);
            context.Stage = 40;
            context.InputParameters.Add("Target", target);
            return context;
        }

        private static byte[] Counted(int length)
        {
            var bytes = new byte[length];
            for (var index = 0; index < length; index++) bytes[index] = (byte)index;
            return bytes;
        }

        private static string Filled(int length, string unit)
        {
            var text = new StringBuilder();
            while (text.Length < length) text.Append(unit);
            return text.ToString();
        }
    }
}
