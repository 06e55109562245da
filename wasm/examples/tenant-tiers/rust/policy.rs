//! Holds each tenant to a ceiling of spending: from 80 % of it a cheaper model answers, at 100 % nobody does.
//!
//!   {"window_s": 86400, "cheaper": "small-bot", "micro_usd": {"acme": 2000000, "*": 500000}}
//!
//! The done hook adds what a request cost to the tenant's counter, which lives for one window.
#![no_std]
#[macro_use]
mod wedge1;
use wedge1::*;

const DAY_S: i64 = 86400;
const PREFIX: &[u8] = b"spent:";

struct Tiers {
    ceilings: &'static [u8],
    cheaper: &'static [u8],
    window_s: u32,
    key: [u8; 128],
}

impl Policy for Tiers {
    fn init(config: &'static [u8]) -> Result<Self, Error> {
        let window = member(config, b"window_s").and_then(int).unwrap_or(DAY_S);
        let mut key = [0; 128];
        key[..PREFIX.len()].copy_from_slice(PREFIX);
        Ok(Tiers {
            ceilings: member(config, b"micro_usd").ok_or(Error::Config)?,
            cheaper: member(config, b"cheaper").unwrap_or(b""),
            window_s: u32::try_from(window).ok().filter(|w| *w > 0).ok_or(Error::Config)?,
            key,
        })
    }

    fn request(&mut self, r: &Request, a: &mut Actions) -> Result<(), Error> {
        a.state(r.tenant()); // the done hook has no other way to know it
        let limit = member(self.ceilings, r.tenant()).or_else(|| member(self.ceilings, b"*"));
        let ceiling = match limit.and_then(int) {
            Some(micro) if micro >= 0 => micro * 1000, // nano-USD, as costs are
            _ => return Ok(()),
        };
        let mut count = [0; 8];
        let spent = match kv_get(self.counter(r.tenant()), &mut count) {
            Some(found) if found.len() == 8 => i64::from_le_bytes(count),
            _ => 0,
        };
        if spent >= ceiling {
            a.deny(429, 3600, b"The tenant has spent what it may.");
        } else if !self.cheaper.is_empty() && spent >= ceiling / 5 * 4 {
            a.model(self.cheaper);
        }
        Ok(())
    }

    fn done(&mut self, d: &Done, a: &mut Actions) -> Result<(), Error> {
        let cost = d.cost_nano_usd();
        if cost != u64::MAX && cost > 0 && !d.state().is_empty() {
            let window = self.window_s;
            a.kv_add(self.counter(d.state()), cost as i64, window);
        }
        Ok(())
    }
}

impl Tiers {
    fn counter(&mut self, tenant: &[u8]) -> &[u8] {
        let n = tenant.len().min(self.key.len() - PREFIX.len());
        self.key[PREFIX.len()..PREFIX.len() + n].copy_from_slice(&tenant[..n]);
        &self.key[..PREFIX.len() + n]
    }
}

wedge1!(Tiers, done);
wedge1_no_std!();
