// program.exe write FOLDER: the bodies of Events.cs in every form.
// program.exe read FILE: a body through the real reader into the contracts, and out again as XML text.

using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Json;
using System.Text;
using System.Xml;
using Fixtures.Contracts;

namespace Fixtures
{
    internal static class Program
    {
        private static readonly DataContractSerializer Xml = new DataContractSerializer(typeof(RemoteExecutionContext));
        private static readonly DataContractJsonSerializer Json =
            new DataContractJsonSerializer(typeof(RemoteExecutionContext));

        private static int Main(string[] arguments)
        {
            if (arguments.Length == 2 && arguments[0] == "write") Write(arguments[1]);
            else if (arguments.Length == 2 && arguments[0] == "read") return Read(arguments[1]);
            else
            {
                Console.Error.WriteLine("expected: write FOLDER, or: read FILE.json|xml|msbin1|session.msbin1");
                return 2;
            }
            return 0;
        }

        private static void Write(string folder)
        {
            foreach (var named in Events.All())
            {
                var path = Path.Combine(folder, named.Key);
                File.WriteAllBytes(path + ".json", Written(stream => Json.WriteObject(stream, named.Value)));
                File.WriteAllBytes(path + ".xml", Written(stream => Xml.WriteObject(stream, named.Value)));
                File.WriteAllBytes(path + ".msbin1", Binary(Xml, named.Value));
            }
            var account = Events.CreateAccount();
            var text = Encoding.UTF8.GetString(Written(stream => Json.WriteObject(stream, account)));
            var create = Path.Combine(folder, "create_account");
            File.WriteAllBytes(create + ".session.msbin1", BinaryWithStringTable(account));
            File.WriteAllBytes(create + ".wrapped.bin", Binary(new DataContractSerializer(typeof(string)), text));
        }

        private static int Read(string path)
        {
            object context;
            try
            {
                context = Parsed(path, File.ReadAllBytes(path));
            }
            catch (Exception refusal)
            {
                Console.Error.WriteLine(refusal.GetBaseException().Message);
                return 1;
            }
            var settings = new XmlWriterSettings
            {
                Indent = true,
                OmitXmlDeclaration = true,
                Encoding = new UTF8Encoding(false),
            };
            using (var output = Console.OpenStandardOutput())
            using (var writer = XmlWriter.Create(output, settings))
                Xml.WriteObject(writer, context);
            Console.WriteLine();
            return 0;
        }

        private static object Parsed(string path, byte[] body)
        {
            if (path.EndsWith(".json")) return Json.ReadObject(new MemoryStream(body));
            var quotas = XmlDictionaryReaderQuotas.Max;
            if (path.EndsWith(".session.msbin1"))
            {
                var session = new XmlBinaryReaderSession();
                var start = ReadStringTable(body, session);
                var rest = new MemoryStream(body, start, body.Length - start);
                return Xml.ReadObject(XmlDictionaryReader.CreateBinaryReader(rest, null, quotas, session));
            }
            return Xml.ReadObject(path.EndsWith(".msbin1")
                ? XmlDictionaryReader.CreateBinaryReader(body, quotas)
                : XmlDictionaryReader.CreateTextReader(body, quotas));
        }

        private static byte[] Written(Action<Stream> write)
        {
            var stream = new MemoryStream();
            write(stream);
            return stream.ToArray();
        }

        // As Service Bus' own serialiser does it: no static dictionary, no session.
        private static byte[] Binary(XmlObjectSerializer serializer, object value) => Written(stream =>
        {
            using (var writer = XmlDictionaryWriter.CreateBinaryWriter(stream, null, null, false))
                serializer.WriteObject(writer, value);
        });

        // MC-NBFSE: the strings of the session stand before the document, each after its length.
        private static byte[] BinaryWithStringTable(object value)
        {
            var session = new RecordedSession();
            var document = Written(stream =>
            {
                using (var writer = XmlDictionaryWriter.CreateBinaryWriter(stream, null, session, false))
                    Xml.WriteObject(writer, value);
            });
            var table = Written(stream =>
            {
                foreach (var entry in session.Strings)
                {
                    var bytes = Encoding.UTF8.GetBytes(entry);
                    WriteLength(stream, bytes.Length);
                    stream.Write(bytes, 0, bytes.Length);
                }
            });
            return Written(stream =>
            {
                WriteLength(stream, table.Length);
                stream.Write(table, 0, table.Length);
                stream.Write(document, 0, document.Length);
            });
        }

        private static int ReadStringTable(byte[] body, XmlBinaryReaderSession session)
        {
            var at = 0;
            var tableLength = ReadLength(body, ref at);
            var end = at + tableLength;
            for (var id = 0; at < end; id++)
            {
                var length = ReadLength(body, ref at);
                session.Add(id, Encoding.UTF8.GetString(body, at, length));
                at += length;
            }
            return end;
        }

        // MultiByteInt31: seven bits a byte, the lowest first.
        private static void WriteLength(Stream stream, int length)
        {
            for (; length >= 0x80; length >>= 7) stream.WriteByte((byte)(length | 0x80));
            stream.WriteByte((byte)length);
        }

        private static int ReadLength(byte[] body, ref int at)
        {
            var length = 0;
            for (var shift = 0; ; shift += 7)
            {
                var part = body[at++];
                length |= (part & 0x7f) << shift;
                if (part < 0x80) return length;
            }
        }

        private sealed class RecordedSession : XmlBinaryWriterSession
        {
            public readonly List<string> Strings = new List<string>();

            public override bool TryAdd(XmlDictionaryString value, out int key)
            {
                var isAdded = base.TryAdd(value, out key);
                if (isAdded) Strings.Add(value.Value);
                return isAdded;
            }
        }
    }
}
