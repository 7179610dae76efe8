//! D-Bus messages: calls to send; replies, errors and signals that came (D-Bus specification, "Message Protocol").
//! What values look like is in `wire`; which calls there are, in `calls`.

use super::wire::{Malformed, ORDER, Reader, Simple, Writer};

/// Bytes of the fixed part of a header, with the length of the array of fields.
pub(super) const HEAD: usize = 16;
/// The longest header and the longest body that are read. systemd's are a few hundred bytes.
const LONGEST_FIELDS: usize = 64 << 10;
const LONGEST_BODY: usize = 4 << 20;

const METHOD_CALL: u8 = 1;
const VERSION: u8 = 1;

/// A call of a method.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// The program on the bus; none where the connection leads to it directly.
    pub(super) destination: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    /// The types in the body.
    pub(super) signature: &'a str,
    pub(super) body: &'a [u8],
}

impl Call<'_> {
    /// The message's bytes. Serial numbers begin at 1.
    pub(super) fn encode(&self, serial: u32) -> Vec<u8> {
        let mut message = Writer::default();
        for byte in [ORDER, METHOD_CALL, 0, VERSION] {
            message.byte(byte);
        }
        message.u32(u32::try_from(self.body.len()).expect("a body is as long as its document"));
        message.u32(serial);
        message.array(8, |fields| {
            let mut field = |code: u8, signature: &str, text: &str| {
                fields.align(8);
                fields.byte(code);
                fields.signature(signature);
                match signature {
                    "g" => fields.signature(text),
                    _ => fields.string(text),
                }
            };
            field(1, "o", self.path);
            field(2, "s", self.interface);
            field(3, "s", self.member);
            if let Some(destination) = self.destination {
                field(6, "s", destination);
            }
            if !self.signature.is_empty() {
                field(8, "g", self.signature);
            }
        });
        message.align(8);
        let mut bytes = message.into_bytes();
        bytes.extend(self.body);
        bytes
    }
}

/// What kind of message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reply,
    Error,
    Signal,
    /// A call, or something of a later version of the protocol: passed over.
    Other,
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// The serial number of the call that it answers; 0 for none.
    pub(super) answers: u32,
    /// Of a signal.
    pub(super) member: String,
    /// Of an error.
    pub(super) error: String,
    /// Who sent it, by a bus.
    pub(super) sender: String,
    /// The types in the body.
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

/// How many bytes follow the first [`HEAD`] of a message: fields with their padding, and body.
pub(super) fn rest(head: &[u8; HEAD]) -> Result<(usize, usize), Malformed> {
    let mut reader = Reader::new(head);
    if reader.byte()? != ORDER {
        return Err("a message in another byte order");
    }
    reader.byte()?;
    reader.byte()?;
    if reader.byte()? != VERSION {
        return Err("another version of the protocol");
    }
    let body = reader.u32()? as usize;
    reader.u32()?;
    let fields = reader.u32()? as usize;
    if fields > LONGEST_FIELDS || body > LONGEST_BODY {
        return Err("a message that is too long");
    }
    Ok((fields.next_multiple_of(8), body))
}

impl Message {
    /// From the first [`HEAD`] bytes and as many fields and as much of a body as [`rest`] told.
    pub(super) fn decode(head: &[u8; HEAD], fields: &[u8], body: &[u8]) -> Result<Self, Malformed> {
        let mut message = Self {
            kind: match head[1] {
                2 => Kind::Reply,
                3 => Kind::Error,
                4 => Kind::Signal,
                _ => Kind::Other,
            },
            answers: 0,
            member: String::new(),
            error: String::new(),
            sender: String::new(),
            signature: String::new(),
            body: body.to_vec(),
        };
        let length = Reader::new(&head[12..]).u32()? as usize;
        let mut reader = Reader::new(fields.get(..length).ok_or("a header that is cut off")?);
        while !reader.is_at_end() {
            reader.align(8)?;
            let code = reader.byte()?;
            match (code, reader.variant()?) {
                (3, Simple::Text(text)) => text.clone_into(&mut message.member),
                (4, Simple::Text(text)) => text.clone_into(&mut message.error),
                (5, Simple::Number(serial)) => message.answers = serial,
                (7, Simple::Text(text)) => text.clone_into(&mut message.sender),
                (8, Simple::Text(text)) => text.clone_into(&mut message.signature),
                (3 | 4 | 5 | 7 | 8, _) => return Err("a header field of another type"),
                _ => {}
            }
        }
        Ok(message)
    }

    /// The body's values, if they are of these types.
    pub(super) fn body_of(&self, signature: &str) -> Result<Reader<'_>, Malformed> {
        if self.signature == signature {
            Ok(Reader::new(&self.body))
        } else {
            Err("an answer of another type")
        }
    }
}
