//! Keeps e-mail addresses, phone numbers and card numbers from the provider: the prompt gets placeholders such as
//! [EMAIL_1], and the answer gets the originals back, also where a placeholder is split over two chunks.
//!
//! What stands for what travels with the request as its state, or, where it takes more than that holds, in a key-value:
//!   state: u8 where the map is, u8 length of carry, carry, the map if it is in the state
//!   map:   n × (u8 kind, u8 length, text), numbered per kind in this order
//! The carry is the end of a chunk that may be the beginning of a placeholder; it is held back for the next one.
#![no_std]
#[macro_use]
mod wedge1;
use wedge1::*;

const EMAIL: u8 = 0;
const PHONE: u8 = 1;
const CARD: u8 = 2;
const HEADS: [&[u8]; 3] = [b"[EMAIL_", b"[PHONE_", b"[CARD_"];

const IN_STATE: u8 = 0;
const IN_KV: u8 = 1;

const MAX_PATCHES: usize = 256;
const MAX_NUMBER: u32 = 99; // of one kind: two digits
const MAX_TEXT: usize = 254; // bytes of what is replaced
const MAX_CARRY: usize = 9; // "[EMAIL_99"
const MAX_STATE: usize = 256;
const MAX_MAP: usize = 4096; // what a key-value holds
const MAX_CHUNK: usize = 8192;
const KEEP_S: u32 = 3600; // how long an answer may take

const TAG_STATE: u16 = 24;
const TAG_TEXT: u16 = 25;

struct Redact {
    map: [u8; MAX_MAP],
    map_len: usize,
    found: [Found; MAX_PATCHES],
    count: usize,
    joined: [u8; MAX_CHUNK + MAX_CARRY],
}

#[derive(Clone, Copy)]
struct Found {
    offset: u32,
    len: u32,
    name: [u8; 12],
    name_len: usize,
}

const NOTHING: Found = Found { offset: 0, len: 0, name: [0; 12], name_len: 0 };

impl Policy for Redact {
    const CAPS: u32 = BODY;

    fn init(_config: &'static [u8]) -> Result<Self, Error> {
        Ok(Redact {
            map: [0; MAX_MAP],
            map_len: 0,
            found: [NOTHING; MAX_PATCHES],
            count: 0,
            joined: [0; MAX_CHUNK + MAX_CARRY],
        })
    }

    fn request(&mut self, r: &Request, a: &mut Actions) -> Result<(), Error> {
        self.map_len = 0;
        self.count = 0;
        self.scan(r.body())?;
        if self.count == 0 {
            return Ok(());
        }
        a.patches(self.found[..self.count].iter().map(|f| Patch {
            offset: f.offset,
            delete: f.len,
            insert: &f.name[..f.name_len],
        }));
        let map = &self.map[..self.map_len];
        let place = if 2 + MAX_CARRY + map.len() > MAX_STATE { IN_KV } else { IN_STATE };
        if place == IN_KV {
            a.kv_put(&kv_key(r.id()), map, KEEP_S);
        }
        leave(a, place, b"", map);
        Ok(())
    }

    fn response(&mut self, r: &Response, a: &mut Actions) -> Result<(), Error> {
        if let Some(map) = map_of(&mut self.map, r.state(), r.id()) {
            a.begin(TAG_TEXT);
            let (_, changed) = restore(a, r.text(), map, false);
            if changed {
                a.end();
            } else {
                a.undo();
            }
        }
        Ok(())
    }

    fn chunk(&mut self, c: &Chunk, a: &mut Actions) -> Result<(), Error> {
        let (state, mut text) = (c.state(), c.text());
        let map = match map_of(&mut self.map, state, c.id()) {
            Some(map) => map,
            None => return Ok(()),
        };
        let carry = &state[2..2 + usize::from(state[1])];
        let continued = !carry.is_empty();
        if continued {
            let joined = self.joined.get_mut(..carry.len() + text.len()).ok_or(Error::Exhausted)?;
            joined[..carry.len()].copy_from_slice(carry);
            joined[carry.len()..].copy_from_slice(text);
            text = joined;
        }
        a.begin(TAG_TEXT);
        let (written, replaced) = restore(a, text, map, !c.last());
        let held = &text[written.rest..];
        if written.bytes == 0 || !(replaced || continued || !held.is_empty()) {
            a.undo();
        } else {
            a.end();
        }
        if written.bytes == 0 && !held.is_empty() {
            a.drop_chunk();
        }
        if continued || !held.is_empty() {
            leave(a, state[0], held, map);
        }
        Ok(())
    }
}

// ---- what is to be found ----

fn local(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'%' | b'+' | b'-')
}

fn ends_word(s: &[u8], end: usize) -> bool {
    s.get(end).map_or(true, |c| !c.is_ascii_alphanumeric())
}

/// The end of the domain behind the @ at `at`.
fn domain(s: &[u8], at: usize) -> Option<usize> {
    let tail = &s[at + 1..];
    let mut n = tail.iter().take_while(|&&c| c.is_ascii_alphanumeric() || c == b'.' || c == b'-').count();
    while n > 0 && !tail[n - 1].is_ascii_alphanumeric() {
        n -= 1;
    }
    let name = &tail[..n];
    let dot = name.iter().rposition(|&c| c == b'.').filter(|&dot| dot > 0)?;
    let top = &name[dot + 1..];
    (top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic)).then(|| at + 1 + n)
}

/// The end of a phone number: + and 8 to 15 digits, at most two of " -.()" between two of them.
fn phone(s: &[u8], at: usize) -> Option<usize> {
    let (mut digits, mut gap, mut end) = (0, 0, 0);
    for (i, c) in s.iter().enumerate().skip(at + 1) {
        match c {
            _ if gap > 2 => break,
            b'0'..=b'9' => {
                digits += 1;
                gap = 0;
                end = i + 1;
            }
            b' ' | b'-' | b'.' | b'(' | b')' if digits > 0 => gap += 1,
            _ => break,
        }
    }
    ((8..=15).contains(&digits) && ends_word(s, end)).then(|| end)
}

/// The end of a card number: 13 to 19 digits with single spaces or hyphens, whose check digit is right.
fn card(s: &[u8], at: usize) -> Option<usize> {
    let (mut digits, mut n, mut end) = ([0u8; 20], 0, at);
    for (i, &c) in s.iter().enumerate().skip(at) {
        if c.is_ascii_digit() {
            digits[n] = c - b'0';
            n += 1;
            end = i + 1;
            if n == digits.len() {
                return None;
            }
        } else if !matches!(c, b' ' | b'-') || end != i {
            break;
        }
    }
    let sum: u32 = digits[..n].iter().rev().enumerate().map(|(i, &d)| luhn(i, u32::from(d))).sum();
    (n >= 13 && ends_word(s, end) && sum % 10 == 0).then(|| end)
}

fn luhn(i: usize, d: u32) -> u32 {
    match d * 2 {
        _ if i % 2 == 0 => d,
        double if double > 9 => double - 9,
        double => double,
    }
}

impl Redact {
    /// Finds what is in the strings of a JSON document.
    fn scan(&mut self, body: &[u8]) -> Result<(), Error> {
        let (mut quoted, mut run, mut before, mut i) = (false, 0, 0u8, 0);
        while i < body.len() {
            let c = body[i];
            let mut hit = None;
            if c == b'"' || !quoted {
                quoted ^= c == b'"';
            } else if c == b'\\' {
                // An escape parts words.
                i += if body.get(i + 1) == Some(&b'u') { 6 } else { 2 };
                run = i;
                before = 0;
                continue;
            } else if c == b'@' && run < i {
                hit = domain(body, i).map(|end| (EMAIL, run, end));
            } else if c == b'+' && !before.is_ascii_alphanumeric() && before != b'+' {
                hit = phone(body, i).map(|end| (PHONE, i, end));
            } else if c.is_ascii_digit() && !before.is_ascii_alphanumeric() {
                hit = card(body, i).map(|end| (CARD, i, end));
            }
            match hit {
                Some((kind, from, end)) if end - from <= MAX_TEXT => {
                    self.add(kind, body, from, end)?;
                    i = end;
                    run = end;
                    before = 0;
                }
                _ => {
                    i += 1;
                    if !local(c) {
                        run = i;
                    }
                    before = c;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, kind: u8, body: &[u8], from: usize, to: usize) -> Result<(), Error> {
        let number = self.number_of(kind, &body[from..to])? as u8;
        let found = self.found.get_mut(self.count).ok_or(Error::Exhausted)?;
        let head = HEADS[usize::from(kind)];
        let mut name = [0; 12];
        let mut n = head.len();
        name[..n].copy_from_slice(head);
        if number > 9 {
            name[n] = b'0' + number / 10;
            n += 1;
        }
        name[n] = b'0' + number % 10;
        name[n + 1] = b']';
        *found = Found { offset: from as u32, len: (to - from) as u32, name, name_len: n + 2 };
        self.count += 1;
        Ok(())
    }

    /// The number of a text among its kind, which is added if it is new.
    fn number_of(&mut self, kind: u8, text: &[u8]) -> Result<u32, Error> {
        let mut n = 0;
        for (_, known) in entries(&self.map[..self.map_len]).filter(|(k, _)| *k == kind) {
            n += 1;
            if known == text {
                return Ok(n);
            }
        }
        let end = self.map_len + 2 + text.len();
        if n == MAX_NUMBER || end > MAX_MAP {
            return Err(Error::Exhausted);
        }
        let entry = &mut self.map[self.map_len..end];
        entry[0] = kind;
        entry[1] = text.len() as u8;
        entry[2..].copy_from_slice(text);
        self.map_len = end;
        Ok(n + 1)
    }
}

// ---- the map and the state ----

fn entries(map: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = map;
    core::iter::from_fn(move || {
        let (kind, len) = (*rest.get(0)?, usize::from(*rest.get(1)?));
        let text = rest.get(2..2 + len)?;
        rest = &rest[2 + len..];
        Some((kind, text))
    })
}

fn kv_key(id: u64) -> [u8; 18] {
    let mut key = *b"m:................";
    for i in 0..16 {
        key[2 + i] = b"0123456789abcdef"[(id >> (60 - 4 * i) & 15) as usize];
    }
    key
}

fn leave(a: &mut Actions, place: u8, carry: &[u8], map: &[u8]) {
    a.begin(TAG_STATE);
    a.put(&[place, carry.len() as u8]);
    a.put(carry);
    if place == IN_STATE {
        a.put(map);
    }
    a.end();
}

/// The map that a state names. The state is long enough for its carry if there is a map.
fn map_of<'a>(room: &'a mut [u8; MAX_MAP], state: &'a [u8], id: u64) -> Option<&'a [u8]> {
    let here = state.get(2 + usize::from(*state.get(1)?)..)?;
    if state[0] == IN_STATE {
        return Some(here);
    }
    kv_get(&kv_key(id), room)
}

// ---- the answer ----

enum Place {
    Nothing,
    Beginning,
    Name { kind: u8, number: u32, len: usize },
}

/// What placeholder `s` begins with.
fn placeholder(s: &[u8]) -> Place {
    for (kind, head) in HEADS.iter().enumerate() {
        if s.len() <= head.len() && head.starts_with(s) {
            return Place::Beginning;
        }
        if !s.starts_with(head) {
            continue;
        }
        let digits = s[head.len()..].iter().take(2).take_while(|c| c.is_ascii_digit());
        let (n, number) = digits.fold((0, 0), |(n, v), c| (n + 1, v * 10 + u32::from(c - b'0')));
        return match s.get(head.len() + n) {
            None => Place::Beginning,
            Some(b']') => Place::Name { kind: kind as u8, number, len: head.len() + n + 1 },
            _ => Place::Nothing,
        };
    }
    Place::Nothing
}

struct Written {
    bytes: usize,
    rest: usize, // where what was left out begins
}

/// Writes a text with the originals in place of placeholders, and tells whether there were any. With `hold` it leaves
/// out an end that may begin a placeholder.
fn restore(a: &mut Actions, s: &[u8], map: &[u8], hold: bool) -> (Written, bool) {
    let (mut done, mut bytes, mut i, mut replaced) = (0, 0, 0, false);
    while i < s.len() {
        let place = if s[i] == b'[' { placeholder(&s[i..]) } else { Place::Nothing };
        match place {
            Place::Beginning if hold => {
                a.put(&s[done..i]);
                return (Written { bytes: bytes + i - done, rest: i }, replaced);
            }
            Place::Name { kind, number, len } if number > 0 => {
                let mut same = entries(map).filter(|(k, _)| *k == kind);
                if let Some((_, original)) = same.nth(number as usize - 1) {
                    a.put(&s[done..i]);
                    a.put(original);
                    bytes += i - done + original.len();
                    i += len;
                    done = i;
                    replaced = true;
                    continue;
                }
            }
            _ => {}
        }
        i += 1;
    }
    a.put(&s[done..]);
    (Written { bytes: bytes + s.len() - done, rest: s.len() }, replaced)
}

wedge1!(Redact, chunk, response);
wedge1_no_std!();
