//! D-Bus values as bytes: what is written, and a reader that believes nothing (D-Bus specification, "Marshaling").
//! Only the types that systemd's calls need; in the host's byte order.

/// The host's byte order, as a message says it.
pub(super) const ORDER: u8 = if cfg!(target_endian = "little") {
    b'l'
} else {
    b'B'
};

/// A value of one of the types that properties of units have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// `b`
    Bool(bool),
    /// `i`
    Int(i32),
    /// `t`
    Number(u64),
    /// `s`
    Text(String),
    /// `ay`: bits of CPUs or memory nodes, the lowest first.
    Bits(Vec<u8>),
    /// `au`
    Processes(Vec<u32>),
    /// `a(ss)`: devices and what may be done to them.
    Devices(Vec<(String, String)>),
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::Int(_) => "i",
            Self::Number(_) => "t",
            Self::Text(_) => "s",
            Self::Bits(_) => "ay",
            Self::Processes(_) => "au",
            Self::Devices(_) => "a(ss)",
        }
    }
}

/// Bytes of a message, or of a part that begins at a multiple of 8.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn u32(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_ne_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.align(8);
        self.0.extend(number.to_ne_bytes());
    }

    /// A string or an object path.
    pub(super) fn string(&mut self, text: &str) {
        self.u32(length(text.len()));
        self.0.extend(text.bytes());
        self.byte(0);
    }

    pub(super) fn signature(&mut self, text: &str) {
        self.byte(u8::try_from(text.len()).expect("signatures are constants of a few letters"));
        self.0.extend(text.bytes());
        self.byte(0);
    }

    /// An array of elements that begin at multiples of `alignment`.
    pub(super) fn array(&mut self, alignment: usize, elements: impl FnOnce(&mut Self)) {
        self.u32(0);
        let place = self.0.len() - 4;
        self.align(alignment);
        let first = self.0.len();
        elements(self);
        let size = length(self.0.len() - first);
        self.0[place..place + 4].copy_from_slice(&size.to_ne_bytes());
    }

    pub(super) fn variant(&mut self, value: &Value) {
        self.signature(value.signature());
        match value {
            Value::Bool(is_set) => self.u32(u32::from(*is_set)),
            Value::Int(number) => self.u32(number.cast_unsigned()),
            Value::Number(number) => self.u64(*number),
            Value::Text(text) => self.string(text),
            Value::Bits(bytes) => self.array(1, |all| all.0.extend(bytes)),
            Value::Processes(pids) => self.array(4, |all| {
                for pid in pids {
                    all.u32(*pid);
                }
            }),
            Value::Devices(list) => self.array(8, |all| {
                for (device, access) in list {
                    all.align(8);
                    all.string(device);
                    all.string(access);
                }
            }),
        }
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("what is written comes from documents of a few megabytes")
}

/// What is wrong with bytes that were read.
pub(super) type Malformed = &'static str;

/// Takes values from bytes that begin at a multiple of 8.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn align(&mut self, to: usize) -> Result<(), Malformed> {
        let padding = self.at.next_multiple_of(to) - self.at;
        if self.take(padding)?.iter().any(|byte| *byte != 0) {
            return Err("padding that is not zero");
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or("a value that is cut off")?;
        self.at += length;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.align(4)?;
        let bytes = self.take(4)?.try_into();
        Ok(u32::from_ne_bytes(bytes.expect("four bytes were taken")))
    }

    /// A string or an object path.
    pub(super) fn string(&mut self) -> Result<&'a str, Malformed> {
        let length = self.u32()? as usize;
        self.text(length)
    }

    pub(super) fn signature(&mut self) -> Result<&'a str, Malformed> {
        let length = usize::from(self.byte()?);
        self.text(length)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, Malformed> {
        let bytes = self.take(length)?;
        if self.byte()? != 0 || bytes.contains(&0) {
            return Err("a string that does not end at its end");
        }
        str::from_utf8(bytes).map_err(|_| "a string that is not UTF-8")
    }

    /// A variant of a simple type.
    pub(super) fn variant(&mut self) -> Result<Simple<'a>, Malformed> {
        Ok(match self.signature()? {
            "s" | "o" => Simple::Text(self.string()?),
            "g" => Simple::Text(self.signature()?),
            "u" | "i" | "b" | "h" => Simple::Number(self.u32()?),
            "ay" => {
                let length = self.u32()? as usize;
                Simple::Bytes(self.take(length)?)
            }
            "y" => Simple::Number(u32::from(self.byte()?)),
            _ => return Err("a type that was not asked for"),
        })
    }
}

/// What a variant holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Simple<'a> {
    Text(&'a str),
    Number(u32),
    Bytes(&'a [u8]),
}
