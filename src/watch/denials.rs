//! What was denied: by whom it was asked for, by which rule it was denied, and the least that would allow it.
//! Everything that comes from the container is escaped before it is shown.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::caller::Caller;
use crate::error::{errno_name, escape, quote};
use crate::names::syscalls::named;
use crate::profile::{SeccompRules, allowance_to_toml, allowing, blame};
use crate::sys::notify::Notification;

/// A program may ask for any number of things; of more different ones than this only the number is kept.
const MOST: usize = 500;

/// All that was denied, in the order of the first time.
#[derive(Debug, Default)]
pub struct Denials {
    /// The profile's name.
    pub(super) profile: String,
    /// Which limits of the cgroup were hit; none where it is unknown.
    pub(super) limits_hit: Option<Vec<&'static str>>,
    all: Vec<Denied>,
    places: BTreeMap<(String, Vec<u8>, u32), usize>,
    omitted: u64,
}

/// One kind of denial.
#[derive(Debug)]
struct Denied {
    name: String,
    arguments: String,
    registers: [u64; 6],
    program: Vec<u8>,
    pid: i32,
    answer: String,
    /// `seccomp.rules[3]`, and its reason.
    rule: Option<(String, String)>,
    is_profiles: bool,
    allow: Option<String>,
    count: u64,
}

/// A call that is being denied.
pub(super) struct Asked<'a> {
    pub(super) name: &'a str,
    /// In words.
    pub(super) arguments: String,
    pub(super) caller: &'a Caller,
    pub(super) notification: &'a Notification,
    /// The filter's answer.
    pub(super) given: u32,
    /// The profile's rules, where it is the profile that denies.
    pub(super) rules: Option<&'a SeccompRules>,
}

impl Denials {
    /// Whether nothing was denied.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn add(&mut self, asked: Asked<'_>) {
        let registers = &asked.notification.arguments;
        let rule = asked
            .rules
            .and_then(|rules| blame(rules, asked.name, registers));
        let allow = asked
            .rules
            .filter(|_| named(asked.name).is_some())
            .and_then(|rules| allowance_to_toml(&allowing(rules, asked.name, registers)).ok());
        // Two calls that the same entry would allow are one kind of denial.
        let kind = format!(
            "{}{}",
            asked.name,
            allow.as_deref().unwrap_or(&asked.arguments)
        );
        let key = (kind, asked.caller.program.clone(), asked.given);
        if let Some(&place) = self.places.get(&key) {
            self.all[place].count += 1;
            return;
        }
        if self.all.len() == MOST {
            self.omitted += 1;
            return;
        }
        self.places.insert(key, self.all.len());
        self.all.push(Denied {
            name: asked.name.to_owned(),
            arguments: asked.arguments,
            registers: *registers,
            program: asked.caller.program.clone(),
            pid: asked.caller.pid,
            answer: answer(asked.given),
            rule: rule.map(|(at, rule)| (format!("seccomp.rules[{at}]"), rule.reason.clone())),
            is_profiles: asked.rules.is_some(),
            allow,
            count: 1,
        });
    }

    /// The report for people.
    pub fn text(&self) -> String {
        if self.all.is_empty() {
            return "no system call was denied\n".to_owned();
        }
        let mut text = String::new();
        for denied in &self.all {
            self.tell(&mut text, denied);
        }
        if self.omitted > 0 {
            let _ = writeln!(text, "and {} denials of other kinds", self.omitted);
        }
        text
    }

    fn tell(&self, text: &mut String, denied: &Denied) {
        let Denied {
            count,
            name,
            arguments,
            pid,
            answer,
            ..
        } = denied;
        let program = quote(&denied.program);
        let _ = write!(
            text,
            "denied {count}x: {name}({arguments}) by {program} [pid {pid}]: {answer}"
        );
        let profile = quote(&self.profile);
        let _ = match (&denied.rule, denied.is_profiles) {
            (Some((key, reason)), _) => {
                writeln!(text, ", by profile {profile}, {key}: {}", escape(reason))
            }
            (None, true) => writeln!(text, ", by profile {profile}, which does not list the call"),
            (None, false) => writeln!(text, ", by linux.seccomp of the config"),
        };
        if let Some(allow) = &denied.allow {
            let _ = writeln!(text, "  allow with, in a profile that extends {profile}:");
            allow.lines().for_each(|line| {
                let _ = writeln!(text, "    {line}");
            });
        }
    }

    /// The report for programs.
    pub fn document(&self) -> Value {
        let all = self.all.iter().map(|denied| {
            json!({
                "call": denied.name,
                "arguments": denied.arguments,
                "registers": denied.registers,
                "program": String::from_utf8_lossy(&denied.program),
                "pid": denied.pid,
                "answer": denied.answer,
                "by": if denied.is_profiles { "profile" } else { "linux.seccomp" },
                "rule": denied.rule.as_ref().map(|(key, _)| key),
                "reason": denied.rule.as_ref().map(|(_, reason)| reason),
                "allowWith": denied.allow,
                "count": denied.count,
            })
        });
        json!({
            "profile": self.profile,
            "denials": all.collect::<Vec<_>>(),
            "omitted": self.omitted,
            "limitsHit": self.limits_hit,
        })
    }

    /// One line for each kind, without the advice.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.all.iter().map(|denied| {
            let Denied {
                count,
                name,
                arguments,
                answer,
                ..
            } = denied;
            format!("{count}x {name}({arguments}): {answer}")
        })
    }
}

fn answer(given: u32) -> String {
    match given & libc::SECCOMP_RET_ACTION_FULL {
        libc::SECCOMP_RET_ERRNO => errno_name((given & libc::SECCOMP_RET_DATA).cast_signed()),
        _ => "killed".to_owned(),
    }
}
