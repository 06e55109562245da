//! Sends a request to the target that the config names for the client's first language: {"fr": "eu", "*": "us"}.
#![no_std]
#[macro_use]
mod wedge1;
use wedge1::*;

const MAX_RULES: usize = 32;

struct Route {
    rules: [(&'static [u8], &'static [u8]); MAX_RULES],
    count: usize,
    otherwise: &'static [u8],
}

impl Policy for Route {
    const CAPS: u32 = HEADERS;

    fn init(config: &'static [u8]) -> Result<Self, Error> {
        let mut route = Route { rules: [(b"", b""); MAX_RULES], count: 0, otherwise: b"" };
        for (language, target) in members(config) {
            if language == b"*" {
                route.otherwise = target;
                continue;
            }
            *route.rules.get_mut(route.count).ok_or(Error::Config)? = (language, target);
            route.count += 1;
        }
        Ok(route)
    }

    fn request(&mut self, r: &Request, a: &mut Actions) -> Result<(), Error> {
        let language = first_language(r.headers().get(b"accept-language").unwrap_or(b""));
        let rules = self.rules.iter().take(self.count);
        let target = rules.clone().find(|(l, _)| l.eq_ignore_ascii_case(language)).map_or(self.otherwise, |(_, t)| t);
        if !target.is_empty() {
            a.target(target);
        }
        Ok(())
    }
}

/// "fr-CH, en;q=0.8" speaks fr: a language ends where its letters end.
fn first_language(header: &[u8]) -> &[u8] {
    let n = header.iter().take_while(|c| c.is_ascii_alphabetic()).count();
    &header[..n]
}

wedge1!(Route);
wedge1_no_std!();
