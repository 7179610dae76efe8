//! Messages against another implementation of D-Bus, against damage, and against a real dbus-daemon(1).
//! systemd itself is spoken to in tests/systemd.rs.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use proptest::prelude::*;
use zvariant::serialized::{Context, Data};
use zvariant::{LE, OwnedValue, Signature, Value as Theirs, to_bytes};

use super::address::Address;
use super::connection::{Connection, Server};
use super::message::{self, Call, Kind, Message};
use super::property::Property;
use super::wire::{Simple, Value, Writer};

fn context() -> Context {
    Context::new_dbus(LE, 0)
}

/// The types and values of a header's fields, by their codes.
type Header = (u8, u8, u8, u8, u32, u32, Vec<(u8, OwnedValue)>);

#[test]
fn properties_are_marshalled_as_zvariant_does() {
    let ours = [
        ("Delegate", Value::Bool(true)),
        ("KillSignal", Value::Int(-2)),
        ("TasksMax", Value::Number(u64::MAX)),
        ("Slice", Value::Text("a-b.slice".into())),
        ("AllowedCPUs", Value::Bits(vec![3, 0, 128])),
        ("PIDs", Value::Processes(vec![7, 8])),
        (
            "DeviceAllow",
            Value::Devices(vec![
                ("/dev/char/1:3".into(), "rwm".into()),
                ("char-*".into(), "m".into()),
            ]),
        ),
        ("DeviceAllow", Value::Devices(Vec::new())),
    ];
    let devices: Vec<(&str, &str)> = vec![("/dev/char/1:3", "rwm"), ("char-*", "m")];
    let none: Vec<(&str, &str)> = Vec::new();
    let theirs: Vec<(&str, Theirs<'_>)> = vec![
        ("Delegate", true.into()),
        ("KillSignal", (-2i32).into()),
        ("TasksMax", u64::MAX.into()),
        ("Slice", "a-b.slice".into()),
        ("AllowedCPUs", vec![3u8, 0, 128].into()),
        ("PIDs", vec![7u32, 8].into()),
        ("DeviceAllow", devices.into()),
        ("DeviceAllow", none.into()),
    ];
    let mut body = Writer::default();
    body.string("x.scope");
    body.string("fail");
    body.array(8, |all| {
        for (name, value) in &ours {
            all.align(8);
            all.string(name);
            all.variant(value);
        }
    });
    body.array(8, |_| {});
    let auxiliary: Vec<(&str, Vec<(&str, Theirs<'_>)>)> = Vec::new();
    let expected = to_bytes(context(), &("x.scope", "fail", theirs, auxiliary)).unwrap();
    assert_eq!(body.into_bytes(), expected.to_vec());
}

#[test]
fn a_call_is_read_back_by_zvariant() {
    let call = Call {
        destination: Some("org.freedesktop.systemd1"),
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member: "StopUnit",
        signature: "ss",
        body: b"12345",
    };
    let bytes = call.encode(7);
    assert_eq!(&bytes[bytes.len() - 5..], b"12345");
    assert_eq!((bytes.len() - 5) % 8, 0);
    let data = Data::new(&bytes[..], context());
    let (header, _): (Header, _) = data.deserialize().unwrap();
    assert_eq!(
        (header.0, header.1, header.2, header.3, header.4, header.5),
        (b'l', 1, 0, 1, 5, 7)
    );
    let text = |value: &OwnedValue| match &**value {
        Theirs::Str(text) => format!("s {text}"),
        Theirs::ObjectPath(path) => format!("o {path}"),
        Theirs::Signature(signature) => format!("g {}", signature.to_string_no_parens()),
        other => format!("{other:?}"),
    };
    let fields: Vec<_> = header
        .6
        .iter()
        .map(|(code, value)| (*code, text(value)))
        .collect();
    let expected = [
        (1, "o /org/freedesktop/systemd1"),
        (2, "s org.freedesktop.systemd1.Manager"),
        (3, "s StopUnit"),
        (6, "s org.freedesktop.systemd1"),
        (8, "g ss"),
    ];
    assert_eq!(fields, expected.map(|(code, text)| (code, text.to_owned())));
}

/// A message as zvariant writes it.
fn written(kind: u8, fields: Vec<(u8, Theirs<'_>)>, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    let head = (b'l', kind, 0u8, 1u8, length, 9u32, fields);
    let mut bytes = to_bytes(context(), &head).unwrap().to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(body);
    bytes
}

fn read(bytes: &[u8]) -> Result<Message, &'static str> {
    let (head, rest) = bytes.split_first_chunk().ok_or("no head")?;
    let (fields, body) = message::rest(head)?;
    let fields_and_body = rest.get(..fields + body).ok_or("cut off")?;
    Message::decode(head, &fields_and_body[..fields], &fields_and_body[fields..])
}

/// The signal by which systemd tells the end of a job.
fn ended_job() -> Vec<u8> {
    let mut bytes = Call {
        destination: None,
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member: "JobRemoved",
        signature: "uoss",
        body: &to_bytes(context(), &(5u32, "/job/5", "x.scope", "done")).unwrap(),
    }
    .encode(9);
    bytes[1] = 4;
    bytes
}

#[test]
fn a_signal_is_read() {
    let message = read(&ended_job()).unwrap();
    assert_eq!(message.kind, Kind::Signal);
    assert_eq!(message.member, "JobRemoved");
    let mut body = message.body_of("uoss").unwrap();
    assert_eq!(body.u32(), Ok(5));
    assert_eq!(
        [body.string(), body.string(), body.string()],
        [Ok("/job/5"), Ok("x.scope"), Ok("done")]
    );
    assert!(body.is_at_end());
    assert!(message.body_of("s").is_err());
}

#[test]
fn a_property_of_zvariants_is_read() {
    let body = to_bytes(context(), &Theirs::from("252.39")).unwrap();
    let fields = vec![
        (5, Theirs::from(3u32)),
        (8, Theirs::from(Signature::try_from("v").unwrap())),
    ];
    let message = read(&written(2, fields, &body)).unwrap();
    assert_eq!((message.kind, message.answers), (Kind::Reply, 3));
    assert_eq!(
        message.body_of("v").unwrap().variant(),
        Ok(Simple::Text("252.39"))
    );
}

#[test]
fn messages_that_are_too_long_or_foreign_are_refused() {
    let head = |order: u8, version: u8, body: u32, fields: u32| {
        let mut head = [0u8; message::HEAD];
        (head[0], head[1], head[3]) = (order, 2, version);
        head[4..8].copy_from_slice(&body.to_ne_bytes());
        head[12..].copy_from_slice(&fields.to_ne_bytes());
        message::rest(&head)
    };
    assert_eq!(head(b'l', 1, 5, 9), Ok((16, 5)));
    assert_eq!(head(b'B', 1, 5, 9), Err("a message in another byte order"));
    assert_eq!(head(b'l', 2, 5, 9), Err("another version of the protocol"));
    assert_eq!(
        head(b'l', 1, u32::MAX, 9),
        Err("a message that is too long")
    );
    assert_eq!(
        head(b'l', 1, 5, u32::MAX),
        Err("a message that is too long")
    );
}

proptest! {
    #[test]
    fn damaged_messages_are_errors_and_no_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = ended_job();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(message) = read(&bytes) {
            let mut body = super::wire::Reader::new(&message.body);
            while !body.is_at_end() && body.string().is_ok() {}
            let mut body = super::wire::Reader::new(&message.body);
            while !body.is_at_end() && body.variant().is_ok() {}
        }
    }
}

/// Everything is allowed, and no service is known.
const CONFIGURATION: &str = r#"<busconfig><type>session</type><listen>unix:path=SOCKET</listen><auth>EXTERNAL</auth>
    <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
    </policy></busconfig>"#;

/// A message bus of the test's own.
struct Bus {
    daemon: Child,
    directory: tempfile::TempDir,
}

impl Bus {
    fn start() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let configuration = directory.path().join("bus.conf");
        let socket = directory.path().join("bus");
        fs::write(
            &configuration,
            CONFIGURATION.replace("SOCKET", socket.to_str().unwrap()),
        )
        .unwrap();
        let started = Command::new("dbus-daemon")
            .args([
                "--nofork",
                "--nopidfile",
                "--print-address",
                "--config-file",
            ])
            .arg(&configuration)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut daemon) = started else {
            eprintln!("skipped: dbus-daemon is not installed");
            return None;
        };
        let mut line = String::new();
        BufReader::new(daemon.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("unix:path="), "{line}");
        Some(Self { daemon, directory })
    }

    fn address(&self) -> Address {
        Address::Path(self.directory.path().join("bus"))
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

#[test]
fn a_bus_is_joined_and_answers() {
    let Some(bus) = Bus::start() else { return };
    // Without joining: the daemon speaks to whoever has authenticated, and a call of Hello is ours to make.
    let mut connection = Connection::open(&bus.address(), Server::Systemd).unwrap();
    let hello = connection.call_bus("Hello", "", Writer::default()).unwrap();
    assert!(
        hello
            .body_of("s")
            .unwrap()
            .string()
            .unwrap()
            .starts_with(":1.")
    );
    // The signal NameAcquired comes in between.
    let mut name = Writer::default();
    name.string("org.freedesktop.DBus");
    let owner = connection.call_bus("GetNameOwner", "s", name).unwrap();
    assert_eq!(
        owner.body_of("s").unwrap().string(),
        Ok("org.freedesktop.DBus")
    );
    assert_eq!(
        connection
            .call_bus("GetNameOwner", "", Writer::default())
            .unwrap_err(),
        "Call to GetNameOwner has wrong args (, expected s) (org.freedesktop.DBus.Error.InvalidArgs)"
    );
}

#[test]
fn the_end_of_a_job_is_heard_on_a_bus() {
    let Some(bus) = Bus::start() else { return };
    let mut connection = Connection::open(&bus.address(), Server::Systemd).unwrap();
    connection.call_bus("Hello", "", Writer::default()).unwrap();
    let mut rule = Writer::default();
    rule.string("type='signal',member='JobRemoved'");
    connection.call_bus("AddMatch", "s", rule).unwrap();
    for job in ["4", "5"] {
        let sent = Command::new("dbus-send")
            .arg(format!(
                "--bus=unix:path={}",
                bus.directory.path().join("bus").display()
            ))
            .args([
                "--type=signal",
                "/org/freedesktop/systemd1",
                "org.freedesktop.systemd1.Manager.JobRemoved",
            ])
            .arg(format!("uint32:{job}"))
            .arg(format!("objpath:/job/{job}"))
            .args([
                "string:x.scope",
                if job == "4" {
                    "string:done"
                } else {
                    "string:failed"
                },
            ])
            .status();
        assert!(sent.unwrap().success());
    }
    assert_eq!(connection.end_of("/job/5").unwrap().result, "failed");
    assert_eq!(connection.end_of("/job/4").unwrap().result, "done");
}

/// A reply, or with kind 3 an error, to the first call of a connection.
fn reply(kind: u8, sender: &str, text: &str) -> Vec<u8> {
    let fields = vec![
        (4, Theirs::from("x.y.Z")),
        (5, Theirs::from(1u32)),
        (7, Theirs::from(sender)),
        (8, Theirs::from(Signature::try_from("s").unwrap())),
    ];
    written(kind, fields, &to_bytes(context(), &text).unwrap())
}

/// A server that takes one connection and sends this, whatever is asked.
fn server(messages: Vec<u8>) -> (tempfile::TempDir, Address, std::thread::JoinHandle<()>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bus");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(b"OK 0\r\n").unwrap();
        socket.write_all(&messages).unwrap();
        // Until the other side has closed.
        let _ = std::io::copy(&mut socket, &mut std::io::sink());
    });
    (directory, Address::Path(path), serving)
}

#[test]
fn an_answer_of_another_sender_is_none() {
    let messages = [
        reply(2, ":1.66", "forged"),
        reply(3, ":1.66", "forged"),
        reply(2, "org.freedesktop.DBus", "true"),
    ];
    let (_directory, address, serving) = server(messages.concat());
    let mut connection = Connection::open(&address, Server::Systemd).unwrap();
    let answer = connection.call_bus("Hello", "", Writer::default()).unwrap();
    assert_eq!(answer.body_of("s").unwrap().string(), Ok("true"));
    drop(connection);
    serving.join().unwrap();
}

#[test]
fn a_server_that_never_pauses_holds_nobody_up() {
    let (_directory, address, serving) = server(ended_job().repeat(8));
    let mut connection = Connection::open(&address, Server::Systemd).unwrap();
    assert_eq!(connection.next().unwrap().kind, Kind::Signal);
    connection.deadline = std::time::Instant::now();
    assert_eq!(connection.next().unwrap_err(), "no answer in 30 s");
    drop(connection);
    serving.join().unwrap();
}

#[test]
fn a_bus_without_systemd_is_an_error() {
    let Some(bus) = Bus::start() else { return };
    let error = Connection::open(&bus.address(), Server::Bus).unwrap_err();
    assert_eq!(
        error.to_string(),
        "look for systemd on the bus: The name org.freedesktop.systemd1 was not provided by any .service files \
         (org.freedesktop.DBus.Error.ServiceUnknown)"
    );
}

#[test]
fn nobody_who_listens_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bus");
    let shown = crate::error::quote_path(&path);
    let error = Connection::open(&Address::Path(path), Server::Systemd).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("connect to {shown}: no such file or directory (ENOENT)")
    );
}

#[test]
fn properties_are_shown_as_systemctl_shows_them() {
    let shown = |name: &str, value| Property::new(name, value).to_string();
    assert_eq!(
        shown("TasksMax", Value::Number(u64::MAX)),
        "TasksMax = infinity"
    );
    assert_eq!(
        shown("Slice", Value::Text("a\nb".into())),
        "Slice = \"a\\nb\""
    );
    assert_eq!(
        shown("AllowedCPUs", Value::Bits(vec![5, 1])),
        "AllowedCPUs = 0,2,8"
    );
}
