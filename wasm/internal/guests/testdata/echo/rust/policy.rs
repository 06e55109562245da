//! Writes all that its views hold as actions, for sdk_test.go.
#![no_std]
#[macro_use]
mod wedge1;
use wedge1::*;

struct Echo {
    config: &'static [u8],
}

fn nums(a: &mut Actions, all: &[u32]) {
    all.iter().for_each(|n| a.max_tokens(*n));
}

fn bools(a: &mut Actions, all: &[bool]) {
    all.iter().for_each(|b| a.max_tokens(u32::from(*b)));
}

fn wide(a: &mut Actions, all: &[u64]) {
    all.iter().for_each(|n| a.kv_add(b"", *n as i64, 0));
}

fn texts(a: &mut Actions, all: &[&[u8]]) {
    all.iter().for_each(|t| a.target(t));
}

fn every_action(a: &mut Actions) {
    a.target(b"eu");
    a.critical();
    a.shadow(b"taken back");
    a.undo();
    a.fallbacks(b"eu,us");
    a.model(b"bot@1.x");
    a.version(b"1.2.0");
    a.set_header(b"x-a", b"b");
    a.delete_header(b"x-a");
    a.response_header(b"x-b", "é".as_bytes());
    a.deny(429, 30, b"later");
    a.cache_salt(b"fr");
    a.cache(Cache::Exact, 60);
    a.metric(b"k", b"v");
    a.patches([Patch { offset: 3, delete: 4, insert: b"ins" }].iter().copied());
    a.body(b"{}");
    a.system_prepend(b"before");
    a.system_replace(b"instead");
    a.message(2, b"text");
    a.max_tokens(256);
    a.timeout_ms(5000);
    a.log(Level::Warn, b"line");
    a.kv_put(b"key", b"value", 7);
    a.kv_add(b"count", -5, 8);
    a.hedge_ms(250);
    a.shadow(b"us");
    a.answer(b"no");
    a.state(b"left");
    a.text(b"other");
    a.drop_chunk();
    a.stop(b"enough");
}

/// Uses every import.
fn imports(a: &mut Actions) {
    let mut got = [0; 8];
    log(Level::Info, b"hello");
    nums(a, &[kv_get(b"none", &mut got).map_or(u32::MAX, |v| v.len() as u32)]);
    bools(a, &[!kv_put(b"k", b"v", 9)]);
    let value = kv_get(b"k", &mut got).unwrap_or(b"");
    nums(a, &[value.len() as u32]);
    texts(a, &[value]);
    wide(a, &[kv_add(b"n", -3, 0) as u64, now_ms() as u64]);
}

impl Policy for Echo {
    const CAPS: u32 = BODY | SYSTEM | USER | HEADERS | TARGETS | STATE;

    fn init(config: &'static [u8]) -> Result<Self, Error> {
        match member(config, b"refuse") {
            Some(_) => Err(Error::Config),
            None => Ok(Echo { config }),
        }
    }

    fn request(&mut self, r: &Request, a: &mut Actions) -> Result<(), Error> {
        match r.model() {
            b"every action" => every_action(a),
            b"imports" => imports(a),
            b"config" => texts(a, &[member(self.config, b"name").unwrap_or(b"")]),
            b"hash" => wide(a, &[hash(3, b"abc")]),
            b"fail" => return Err(Error::Unsupported),
            _ => fields(r, a),
        }
        Ok(())
    }

    fn chunk(&mut self, c: &Chunk, a: &mut Actions) -> Result<(), Error> {
        bools(a, &[c.first(), c.last()]);
        wide(a, &[c.id()]);
        nums(a, &[c.seq(), c.choice(), c.tokens()]);
        texts(a, &[c.text(), c.state(), c.finish()]);
        Ok(())
    }

    fn response(&mut self, r: &Response, a: &mut Actions) -> Result<(), Error> {
        bools(a, &[r.cached()]);
        wide(a, &[r.id()]);
        nums(a, &[r.status(), r.choice(), r.input_tokens(), r.output_tokens()]);
        texts(a, &[r.text(), r.state(), r.finish()]);
        Ok(())
    }

    fn done(&mut self, d: &Done, a: &mut Actions) -> Result<(), Error> {
        bools(a, &[d.error(), d.cached(), d.cancelled(), d.stream()]);
        wide(a, &[d.id()]);
        nums(a, &[d.status(), d.ttft_us(), d.duration_us(), d.input_tokens(), d.output_tokens()]);
        nums(a, &[d.cached_tokens(), d.reasoning_tokens()]);
        wide(a, &[d.cost_nano_usd()]);
        texts(a, &[d.model(), d.version(), d.target(), d.state()]);
        Ok(())
    }
}

fn fields(r: &Request, a: &mut Actions) {
    bools(a, &[r.stream(), r.has_tools(), r.has_images(), r.json_output(), r.retry()]);
    wide(a, &[r.id(), r.unix_ms() as u64, r.prefix_hash(), r.random()]);
    nums(a, &[r.prompt_tokens(), r.max_tokens(), r.messages(), r.tools(), r.temperature().to_bits(), r.attempt()]);
    texts(a, &[r.model(), r.tenant(), r.user(), r.endpoint(), r.system(), r.last_user(), r.body(), r.version()]);
    r.headers().iter().chain(r.kv().iter()).for_each(|(name, value)| a.set_header(name, value));
    for t in r.targets() {
        texts(a, &[t.name(), t.region()]);
        bools(a, &[t.healthy(), t.breaker()]);
        nums(a, &[t.in_flight(), t.ttft_us(), t.us_per_token(), t.price_in(), t.price_out()]);
    }
}

wedge1!(Echo, chunk, response, done);
wedge1_no_std!();
