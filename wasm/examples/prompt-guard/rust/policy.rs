//! Denies prompts that hold one of the config's phrases, or only tags them:
//!
//!   {"phrases": ["ignore previous instructions", "you are now dan"], "observe": false}
//!
//! The case of ASCII letters does not count, and a space stands for any run of white space.
#![no_std]
#[macro_use]
mod wedge1;
use wedge1::*;

const MAX_PHRASES: usize = 64;

struct Guard {
    phrases: [&'static [u8]; MAX_PHRASES],
    count: usize,
    observe: bool,
}

impl Policy for Guard {
    const CAPS: u32 = USER;

    fn init(config: &'static [u8]) -> Result<Self, Error> {
        let observe = member(config, b"observe") == Some(b"true");
        let mut guard = Guard { phrases: [b""; MAX_PHRASES], count: 0, observe };
        for phrase in elements(member(config, b"phrases").ok_or(Error::Config)?) {
            if phrase.is_empty() {
                return Err(Error::Config);
            }
            *guard.phrases.get_mut(guard.count).ok_or(Error::Config)? = phrase;
            guard.count += 1;
        }
        Ok(guard)
    }

    fn request(&mut self, r: &Request, a: &mut Actions) -> Result<(), Error> {
        let text = r.last_user();
        let holds = |phrase: &&[u8]| (0..text.len()).any(|at| begins(&text[at..], phrase));
        if let Some(found) = self.phrases[..self.count].iter().position(|p| holds(p)) {
            a.metric(b"guard", &[b'0' + (found / 10) as u8, b'0' + (found % 10) as u8]);
            if !self.observe {
                a.deny(403, 0, b"The prompt looks like an attempt to change the instructions.");
            }
        }
        Ok(())
    }
}

fn space(c: &u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | b'\r')
}

fn begins(text: &[u8], phrase: &[u8]) -> bool {
    let (mut rest, mut before) = (text, b'x');
    for &c in phrase {
        if c == b' ' && before == b' ' {
            continue;
        }
        before = c;
        let n = match rest.first() {
            Some(t) if c != b' ' && t.eq_ignore_ascii_case(&c) => 1,
            Some(t) if c == b' ' && space(t) => rest.iter().take_while(|t| space(t)).count(),
            _ => return false,
        };
        rest = &rest[n..];
    }
    true
}

wedge1!(Guard);
wedge1_no_std!();
