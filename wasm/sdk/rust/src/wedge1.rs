//! The SDK for Wedge policies: typed views of what a policy sees, and builders of what it decides. It needs neither
//! `std` nor an allocator, and works with both.
//!
//! ```ignore
//! #![no_std]
//! #[macro_use]
//! mod wedge1;
//! use wedge1::*;
//!
//! struct Plan;
//!
//! impl Policy for Plan {
//!     const CAPS: u32 = HEADERS;
//!     fn init(_config: &'static [u8]) -> Result<Self, Error> {
//!         Ok(Plan)
//!     }
//!     fn request(&mut self, r: &Request, a: &mut Actions) -> Result<(), Error> {
//!         if r.headers().get(b"x-plan") == Some(b"free") {
//!             a.target(b"small");
//!         }
//!         Ok(())
//!     }
//! }
//!
//! wedge1!(Plan);
//! wedge1_no_std!();
//! ```
//!
//! Text is bytes, UTF-8 from the node; `core::str::from_utf8` makes a `str` of it.
#![allow(dead_code)] // a policy that copies this file uses a part of it

use core::ptr::addr_of_mut;

/// The raw body, for [`Request::body`].
pub const BODY: u32 = 1 << 1;
/// The system text, for [`Request::system`].
pub const SYSTEM: u32 = 1 << 2;
/// The last user text, for [`Request::last_user`].
pub const USER: u32 = 1 << 3;
/// The headers that the catalog lists, for [`Request::headers`].
pub const HEADERS: u32 = 1 << 4;
/// The targets table, for [`Request::targets`].
pub const TARGETS: u32 = 1 << 5;
/// The policy keeps state in its memory between requests.
pub const STATE: u32 = 1 << 9;

/// A failure that the node counts by its kind; what happens to the request is the catalog's `on_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Error {
    Internal = -1,
    BadInput = -2,
    Unsupported = -3,
    Config = -4,
    Exhausted = -5,
}

/// What a policy answers. `wedge1!` exports its functions.
pub trait Policy: Sized {
    /// What it wants to see. The hooks named in `wedge1!` add their own bits.
    const CAPS: u32 = 0;

    /// Reads the catalog's config, a JSON object, `{}` if there is none; it lives as long as the module.
    fn init(config: &'static [u8]) -> Result<Self, Error>;

    fn request(&mut self, r: &Request, a: &mut Actions) -> Result<(), Error>;

    fn response(&mut self, _r: &Response, _a: &mut Actions) -> Result<(), Error> {
        Ok(())
    }
    fn chunk(&mut self, _c: &Chunk, _a: &mut Actions) -> Result<(), Error> {
        Ok(())
    }
    fn done(&mut self, _d: &Done, _a: &mut Actions) -> Result<(), Error> {
        Ok(())
    }
}

/// Exports a policy: `wedge1!(MyPolicy)`, with the optional hooks it implements: `wedge1!(MyPolicy, chunk, done)`.
#[macro_export]
macro_rules! wedge1 {
    ($policy:ty $(, $hook:ident)*) => {
        static mut WEDGE1_POLICY: Option<$policy> = None;

        #[no_mangle]
        pub extern "C" fn wedge1_caps() -> u32 {
            <$policy as $crate::wedge1::Policy>::CAPS $(| $crate::wedge1_bit!($hook))*
        }

        #[no_mangle]
        pub extern "C" fn wedge1_alloc(size: u32) -> *mut u8 {
            $crate::wedge1::input(size as usize)
        }

        #[no_mangle]
        pub extern "C" fn wedge1_init(len: u32) -> i32 {
            let made = $crate::wedge1::keep(len as usize)
                .and_then(<$policy as $crate::wedge1::Policy>::init);
            match made {
                Ok(policy) => unsafe {
                    *core::ptr::addr_of_mut!(WEDGE1_POLICY) = Some(policy);
                    0
                },
                Err(e) => e as i32,
            }
        }

        $crate::wedge1_hook!($policy, request, wedge1_request, Request);
        $($crate::wedge1_hook!($policy, $hook);)*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! wedge1_bit {
    (chunk) => { 64 };
    (response) => { 128 };
    (done) => { 256 };
}

#[doc(hidden)]
#[macro_export]
macro_rules! wedge1_hook {
    ($policy:ty, response) => { $crate::wedge1_hook!($policy, response, wedge1_response, Response); };
    ($policy:ty, chunk) => { $crate::wedge1_hook!($policy, chunk, wedge1_chunk, Chunk); };
    ($policy:ty, done) => { $crate::wedge1_hook!($policy, done, wedge1_done, Done); };
    ($policy:ty, $method:ident, $export:ident, $view:ident) => {
        #[no_mangle]
        pub extern "C" fn $export(len: u32) -> i64 {
            match unsafe { (*core::ptr::addr_of_mut!(WEDGE1_POLICY)).as_mut() } {
                Some(policy) => $crate::wedge1::run(len as usize, |view, actions| {
                    <$policy as $crate::wedge1::Policy>::$method(policy, &$crate::wedge1::$view(view), actions)
                }),
                None => $crate::wedge1::Error::Internal as i64,
            }
        }
    };
}

/// What a policy without `std` has to say once: a panic traps, and the node calls `on_error`.
#[macro_export]
macro_rules! wedge1_no_std {
    () => {
        #[panic_handler]
        fn wedge1_panic(_: &core::panic::PanicInfo) -> ! {
            core::arch::wasm32::unreachable()
        }
    };
}

// ---- memory ---------------------------------------------------------------------------------------------------------

/// Fresh zeroed memory in whole pages that nobody frees.
fn pages(size: usize) -> Option<&'static mut [u8]> {
    let n = (size >> 16) + 1;
    let old = core::arch::wasm32::memory_grow(0, n);
    if old == usize::MAX {
        return None;
    }
    Some(unsafe { core::slice::from_raw_parts_mut((old << 16) as *mut u8, n << 16) })
}

static mut FIRST_IN: [u64; 2048] = [0; 2048]; // 16 KiB, aligned to 8
static mut FIRST_OUT: [u64; 512] = [0; 512]; // 4 KiB
static mut FIRST_CONFIG: [u8; 1024] = [0; 1024];
static mut IN: Option<&'static mut [u8]> = None;
static mut OUT: Actions = Actions { list: None, len: 0, last: 0, failed: false };

/// The input buffer, at least `size` bytes long; null if there is no memory for it.
#[doc(hidden)]
pub fn input(size: usize) -> *mut u8 {
    let input = unsafe {
        (*addr_of_mut!(IN)).get_or_insert_with(|| core::slice::from_raw_parts_mut(addr_of_mut!(FIRST_IN) as *mut u8, 16384))
    };
    if size > input.len() {
        match pages(size.max(2 * input.len())) {
            Some(fresh) => *input = fresh,
            None => return core::ptr::null_mut(),
        }
    }
    input.as_mut_ptr()
}

/// The first bytes of the input buffer.
fn given(len: usize) -> &'static [u8] {
    match unsafe { (*addr_of_mut!(IN)).as_ref() } {
        Some(input) => input.get(..len).unwrap_or(&[]),
        None => &[],
    }
}

/// A copy of the input that lives as long as the module.
#[doc(hidden)]
pub fn keep(len: usize) -> Result<&'static [u8], Error> {
    let to = if len > 1024 {
        pages(len).ok_or(Error::Exhausted)?
    } else {
        unsafe { &mut *addr_of_mut!(FIRST_CONFIG) }
    };
    let to = to.get_mut(..len).ok_or(Error::Internal)?;
    to.copy_from_slice(given(len));
    Ok(to)
}

/// Calls a hook with the view that lies in the input buffer.
#[doc(hidden)]
#[inline(always)]
pub fn run(len: usize, hook: impl FnOnce(View<'static>, &mut Actions) -> Result<(), Error>) -> i64 {
    let out = unsafe { &mut *addr_of_mut!(OUT) };
    out.len = 0;
    out.last = 0;
    out.failed = false;
    match hook(View(given(len)), out) {
        Err(e) => e as i64,
        Ok(()) if out.failed => Error::Exhausted as i64,
        Ok(()) if out.len == 0 => 0,
        Ok(()) => (out.address() as i64) << 32 | out.len as i64,
    }
}

// ---- views ----------------------------------------------------------------------------------------------------------

/// The bytes of a view. Spans in it are u32 offset and u32 length; what lies outside reads as zeros and empty text.
#[derive(Clone, Copy)]
pub struct View<'a>(&'a [u8]);

impl<'a> View<'a> {
    #[inline(always)]
    fn u32(self, at: usize) -> u32 {
        match self.0.get(at..at.wrapping_add(4)) {
            Some(b) => u32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            None => 0,
        }
    }

    #[inline(always)]
    fn u64(self, at: usize) -> u64 {
        u64::from(self.u32(at)) | u64::from(self.u32(at + 4)) << 32
    }

    #[inline(always)]
    fn span(self, at: usize) -> &'a [u8] {
        let (off, len) = (self.u32(at) as usize, self.u32(at + 4) as usize);
        self.0.get(off..off.wrapping_add(len)).unwrap_or(&[])
    }

    /// Where the rows of a table begin, and how many there are.
    #[inline(always)]
    fn table(self, at: usize) -> (usize, usize) {
        if self.u32(at + 4) == 0 {
            return (0, 0);
        }
        let off = self.u32(at) as usize;
        (off + 4, self.u32(off) as usize)
    }
}

macro_rules! fields {
    ($view:ident { $($(#[$doc:meta])* $name:ident: $kind:ident @ $at:literal $(& $bit:literal)?,)* }) => {
        impl<'a> $view<'a> {
            $($(#[$doc])* #[inline(always)] pub fn $name(&self) -> field!(type $kind) { field!($kind self.0, $at $(, $bit)?) })*
        }
    };
}

macro_rules! field {
    (type u32) => { u32 };
    (type u64) => { u64 };
    (type i64) => { i64 };
    (type f32) => { f32 };
    (type flag) => { bool };
    (type text) => { &'a [u8] };
    (u32 $v:expr, $at:literal) => { $v.u32($at) };
    (u64 $v:expr, $at:literal) => { $v.u64($at) };
    (i64 $v:expr, $at:literal) => { $v.u64($at) as i64 };
    (f32 $v:expr, $at:literal) => { f32::from_bits($v.u32($at)) };
    (flag $v:expr, $at:literal, $bit:literal) => { $v.u32($at) & $bit != 0 };
    (text $v:expr, $at:literal) => { $v.span($at) };
}

/// What a policy sees of a request.
#[derive(Clone, Copy)]
pub struct Request<'a>(pub View<'a>);

fields!(Request {
    stream: flag @ 12 & 1,
    has_tools: flag @ 12 & 2,
    has_images: flag @ 12 & 4,
    json_output: flag @ 12 & 8,
    retry: flag @ 12 & 16,
    id: u64 @ 16,
    unix_ms: i64 @ 24,
    /// Of system text and tools.
    prefix_hash: u64 @ 32,
    /// For draws.
    random: u64 @ 40,
    /// Estimated.
    prompt_tokens: u32 @ 48,
    /// 0 where the client is silent.
    max_tokens: u32 @ 52,
    /// How many.
    messages: u32 @ 56,
    /// How many.
    tools: u32 @ 60,
    /// NaN where the client is silent.
    temperature: f32 @ 64,
    /// 0 for the first.
    attempt: u32 @ 68,
    /// As resolved, without `@version`.
    model: text @ 72,
    tenant: text @ 80,
    /// Empty if unknown.
    user: text @ 88,
    /// The path, such as `/v1/chat/completions`.
    endpoint: text @ 96,
    /// With [`SYSTEM`].
    system: text @ 104,
    /// With [`USER`].
    last_user: text @ 112,
    /// With [`BODY`].
    body: text @ 136,
    version: text @ 152,
});

impl<'a> Request<'a> {
    /// The headers that the catalog lists, with [`HEADERS`].
    #[inline(always)]
    pub fn headers(&self) -> Pairs<'a> {
        Pairs::at(self.0, 120)
    }

    /// The key-values that came with the request.
    pub fn kv(&self) -> Pairs<'a> {
        Pairs::at(self.0, 144)
    }

    /// The targets of the model's version, with [`TARGETS`].
    pub fn targets(&self) -> impl Iterator<Item = Target<'a>> + 'a {
        let view = self.0;
        let (rows, n) = view.table(128);
        (0..n).map(move |i| Target(view, rows + 40 * i))
    }
}

/// Names with values.
#[derive(Clone, Copy)]
pub struct Pairs<'a> {
    view: View<'a>,
    rows: usize,
    n: usize,
}

impl<'a> Pairs<'a> {
    #[inline(always)]
    fn at(view: View<'a>, at: usize) -> Self {
        let (rows, n) = view.table(at);
        Pairs { view, rows, n }
    }

    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + 'a {
        (0..self.n).map(move |i| (self.view.span(self.rows + 16 * i), self.view.span(self.rows + 16 * i + 8)))
    }

    /// The value of a name; the case of ASCII letters does not count.
    #[inline(always)]
    pub fn get(self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|(n, _)| same(n, name) || n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// One of a request's targets.
#[derive(Clone, Copy)]
pub struct Target<'a>(View<'a>, usize);

impl<'a> Target<'a> {
    pub fn name(&self) -> &'a [u8] {
        self.0.span(self.1)
    }
    pub fn region(&self) -> &'a [u8] {
        self.0.span(self.1 + 8)
    }
    pub fn healthy(&self) -> bool {
        self.0.u32(self.1 + 16) & 1 != 0
    }
    /// Its breaker keeps requests away.
    pub fn breaker(&self) -> bool {
        self.0.u32(self.1 + 16) & 2 != 0
    }
    pub fn in_flight(&self) -> u32 {
        self.0.u32(self.1 + 20)
    }
    /// Microseconds to the first token on average; 0 unknown.
    pub fn ttft_us(&self) -> u32 {
        self.0.u32(self.1 + 24)
    }
    /// Microseconds per output token on average; 0 unknown.
    pub fn us_per_token(&self) -> u32 {
        self.0.u32(self.1 + 28)
    }
    /// Nano-USD per 1,000 tokens; `u32::MAX` unknown.
    pub fn price_in(&self) -> u32 {
        self.0.u32(self.1 + 32)
    }
    /// Nano-USD per 1,000 tokens; `u32::MAX` unknown.
    pub fn price_out(&self) -> u32 {
        self.0.u32(self.1 + 36)
    }
}

/// One decoded delta of a streamed answer.
#[derive(Clone, Copy)]
pub struct Chunk<'a>(pub View<'a>);

fields!(Chunk {
    /// The first delta of this choice.
    first: flag @ 12 & 1,
    /// No text follows for this choice.
    last: flag @ 12 & 2,
    id: u64 @ 16,
    /// Counts this request's chunks from 0.
    seq: u32 @ 24,
    choice: u32 @ 28,
    /// Sent so far, estimated.
    tokens: u32 @ 32,
    text: text @ 40,
    /// What the last call of this request left.
    state: text @ 48,
    /// The finish reason, in the last chunk.
    finish: text @ 56,
});

/// A whole answer's text.
#[derive(Clone, Copy)]
pub struct Response<'a>(pub View<'a>);

fields!(Response {
    cached: flag @ 12 & 2,
    id: u64 @ 16,
    status: u32 @ 24,
    choice: u32 @ 28,
    input_tokens: u32 @ 32,
    output_tokens: u32 @ 36,
    text: text @ 40,
    /// What [`Policy::request`] left.
    state: text @ 48,
    finish: text @ 56,
});

/// How a request ended.
#[derive(Clone, Copy)]
pub struct Done<'a>(pub View<'a>);

fields!(Done {
    /// The client got an error.
    error: flag @ 12 & 1,
    /// A cache or another caller's call answered.
    cached: flag @ 12 & 2,
    /// The client left before the end.
    cancelled: flag @ 12 & 4,
    stream: flag @ 12 & 8,
    id: u64 @ 16,
    status: u32 @ 24,
    ttft_us: u32 @ 28,
    duration_us: u32 @ 32,
    input_tokens: u32 @ 36,
    output_tokens: u32 @ 40,
    cached_tokens: u32 @ 44,
    reasoning_tokens: u32 @ 48,
    /// `u64::MAX` unknown.
    cost_nano_usd: u64 @ 56,
    model: text @ 64,
    version: text @ 72,
    target: text @ 80,
    state: text @ 88,
});

// ---- actions --------------------------------------------------------------------------------------------------------

/// The list that a hook fills.
pub struct Actions {
    list: Option<&'static mut [u8]>,
    len: usize,
    last: usize, // where the newest action begins
    failed: bool,
}

/// What [`Actions::cache`] does.
#[repr(u32)]
pub enum Cache {
    Keep,
    Off,
    Exact,
}

/// The level of a line in the log.
#[repr(u32)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// One edit of the body: at `offset`, take `delete` bytes away and put `insert` in their place.
#[derive(Clone, Copy)]
pub struct Patch<'a> {
    pub offset: u32,
    pub delete: u32,
    pub insert: &'a [u8],
}

impl Actions {
    fn address(&self) -> usize {
        self.list.as_ref().map_or(0, |list| list.as_ptr() as usize)
    }

    /// Room for `n` bytes more.
    #[inline]
    fn room(&mut self, n: usize) -> Option<&mut [u8]> {
        if self.list.as_ref().map_or(0, |list| list.len()) < self.len + n {
            self.grow(n);
        }
        let len = self.len;
        self.list.as_mut()?.get_mut(len..len + n)
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, n: usize) {
        let list = self.list.get_or_insert_with(|| unsafe {
            core::slice::from_raw_parts_mut(addr_of_mut!(FIRST_OUT) as *mut u8, 4096)
        });
        if self.len + n <= list.len() {
            return;
        }
        match pages((self.len + n).max(2 * list.len())) {
            Some(fresh) => {
                fresh[..self.len].copy_from_slice(&list[..self.len]);
                *list = fresh;
            }
            None => self.failed = true,
        }
    }

    /// Appends to the payload of the action that [`begin`](Self::begin) opened.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        if let Some(to) = self.room(bytes.len()) {
            to.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    /// Opens an action by its number in the ABI, for text that is made in place.
    #[inline]
    pub fn begin(&mut self, tag: u16) {
        self.last = self.len;
        self.put(&u64::from(tag).to_le_bytes());
    }

    /// Closes the action that [`begin`](Self::begin) opened.
    #[inline]
    pub fn end(&mut self) {
        let n = self.len.wrapping_sub(self.last + 8);
        let last = self.last;
        if let Some(to) = self.list.as_mut().and_then(|list| list.get_mut(last + 4..last + 8)) {
            to.copy_from_slice(&(n as u32).to_le_bytes());
        }
        self.put(&[0; 3][..n.wrapping_neg() & 3]);
    }

    /// Takes the newest action back.
    pub fn undo(&mut self) {
        self.len = self.last;
    }

    /// Refuses the request rather than do without the newest action.
    pub fn critical(&mut self) {
        let at = self.last + 2;
        if at < self.len {
            if let Some(flags) = self.list.as_mut().and_then(|list| list.get_mut(at)) {
                *flags |= 1;
            }
        }
    }

    #[inline]
    fn add(&mut self, tag: u16, rest: &[u8]) {
        self.begin(tag);
        self.put(rest);
        self.end();
    }

    #[inline]
    fn add_u32(&mut self, tag: u16, n: u32, rest: &[u8]) {
        self.begin(tag);
        self.put(&n.to_le_bytes());
        self.put(rest);
        self.end();
    }

    fn add_pair(&mut self, tag: u16, name: &[u8], value: &[u8]) {
        self.begin(tag);
        self.put(&(name.len() as u16).to_le_bytes());
        self.put(name);
        self.put(value);
        self.end();
    }

    /// Chooses a target by its name in the catalog.
    #[inline]
    pub fn target(&mut self, name: &[u8]) {
        self.add(1, name);
    }
    /// Names the targets to try next, separated by commas.
    pub fn fallbacks(&mut self, names: &[u8]) {
        self.add(2, names);
    }
    /// Sends the request to another model: a reference such as `bot` or `bot@1.x`.
    pub fn model(&mut self, reference: &[u8]) {
        self.add(3, reference);
    }
    /// Chooses a version, or an arm of the experiment on the model.
    pub fn version(&mut self, version: &[u8]) {
        self.add(4, version);
    }
    /// Sets a header of the request upstream.
    pub fn set_header(&mut self, name: &[u8], value: &[u8]) {
        self.add_pair(5, name, value);
    }
    /// Takes a header out of the request upstream.
    pub fn delete_header(&mut self, name: &[u8]) {
        self.add(6, name);
    }
    /// Sets a header of the answer to the client.
    pub fn response_header(&mut self, name: &[u8], value: &[u8]) {
        self.add_pair(7, name, value);
    }
    /// Refuses the request with an HTTP status and the seconds after which to try again (0: do not say).
    pub fn deny(&mut self, status: u16, retry_after: u16, message: &[u8]) {
        self.add_u32(8, u32::from(status) | u32::from(retry_after) << 16, message);
    }
    /// Adds bytes to the cache key.
    pub fn cache_salt(&mut self, salt: &[u8]) {
        self.add(9, salt);
    }
    /// Says whether and for how many seconds (0: the model's) the answer is cached.
    pub fn cache(&mut self, mode: Cache, ttl: u32) {
        self.add_u32(10, mode as u32, &ttl.to_le_bytes());
    }
    /// Tags the request in metrics and logs: at most 8 tags, 32 bytes for a key and for a value.
    pub fn metric(&mut self, key: &[u8], value: &[u8]) {
        self.add_pair(11, key, value);
    }
    /// Edits the body. The patches are sorted and do not overlap.
    pub fn patches<'a>(&mut self, patches: impl Iterator<Item = Patch<'a>> + Clone) {
        self.begin(12);
        self.put(&(patches.clone().count() as u32).to_le_bytes());
        for p in patches.clone() {
            self.put(&p.offset.to_le_bytes());
            self.put(&p.delete.to_le_bytes());
            self.put(&(p.insert.len() as u32).to_le_bytes());
        }
        patches.for_each(|p| self.put(p.insert));
        self.end();
    }
    /// Replaces the whole body.
    pub fn body(&mut self, body: &[u8]) {
        self.add(13, body);
    }
    /// Puts plain text before the system text.
    pub fn system_prepend(&mut self, text: &[u8]) {
        self.add_u32(14, 0, text);
    }
    /// Puts plain text in the system text's place.
    pub fn system_replace(&mut self, text: &[u8]) {
        self.add_u32(14, 1, text);
    }
    /// Replaces the text of the message with the index, counted from 0.
    pub fn message(&mut self, index: u32, text: &[u8]) {
        self.add_u32(15, index, text);
    }
    /// Bounds the tokens of the answer.
    pub fn max_tokens(&mut self, n: u32) {
        self.add_u32(16, n, b"");
    }
    /// Bounds the time of an attempt.
    pub fn timeout_ms(&mut self, ms: u32) {
        self.add_u32(17, ms, b"");
    }
    /// Writes a line to the node's log.
    pub fn log(&mut self, level: Level, text: &[u8]) {
        self.add_u32(18, level as u32, text);
    }
    /// Keeps a value for `ttl` seconds, 0 while the node runs.
    pub fn kv_put(&mut self, key: &[u8], value: &[u8], ttl: u32) {
        self.begin(19);
        self.put(&ttl.to_le_bytes());
        self.put(&(key.len() as u16).to_le_bytes());
        self.put(key);
        self.put(value);
        self.end();
    }
    /// Adds to a counter that begins at 0 and is kept for `ttl` seconds, 0 while the node runs.
    pub fn kv_add(&mut self, key: &[u8], delta: i64, ttl: u32) {
        self.begin(20);
        self.put(&delta.to_le_bytes());
        self.put(&ttl.to_le_bytes());
        self.put(key);
        self.end();
    }
    /// Starts a second attempt if the first has not begun to answer in time.
    pub fn hedge_ms(&mut self, ms: u32) {
        self.add_u32(21, ms, b"");
    }
    /// Sends a copy of the request to a target whose answer nobody gets.
    pub fn shadow(&mut self, target: &[u8]) {
        self.add(22, target);
    }
    /// Answers in the provider's place.
    pub fn answer(&mut self, text: &[u8]) {
        self.add(23, text);
    }
    /// Leaves at most 256 bytes for the next view of this request.
    pub fn state(&mut self, state: &[u8]) {
        self.add(24, state);
    }
    /// Puts other text in the place of the chunk's or the response's.
    pub fn text(&mut self, text: &[u8]) {
        self.add(25, text);
    }
    /// Keeps the chunk back.
    pub fn drop_chunk(&mut self) {
        self.add(26, b"");
    }
    /// Ends the stream well after this chunk.
    pub fn stop(&mut self, reason: &[u8]) {
        self.add(27, reason);
    }
}

// ---- imports: what is used is imported ------------------------------------------------------------------------------

mod host {
    #[link(wasm_import_module = "wedge1")]
    extern "C" {
        pub fn log(level: u32, text: *const u8, len: usize);
        pub fn kv_get(key: *const u8, key_len: usize, dst: *mut u8, cap: usize) -> i32;
        pub fn kv_put(key: *const u8, key_len: usize, value: *const u8, len: usize, ttl: u32) -> i32;
        pub fn kv_add(key: *const u8, key_len: usize, delta: i64, ttl: u32) -> i64;
        pub fn now_ms() -> i64;
    }
}

/// Writes a line to the node's log at once, also where the call fails later.
pub fn log(level: Level, text: &[u8]) {
    unsafe { host::log(level as u32, text.as_ptr(), text.len()) }
}

/// Copies the key's value to `dst` and gives it, if there is one and it fits.
pub fn kv_get<'a>(key: &[u8], dst: &'a mut [u8]) -> Option<&'a [u8]> {
    let n = unsafe { host::kv_get(key.as_ptr(), key.len(), dst.as_mut_ptr(), dst.len()) };
    usize::try_from(n).ok().and_then(|n| dst.get(..n))
}

/// Keeps a value for `ttl` seconds, 0 while the node runs; false if the key or the value is too long.
pub fn kv_put(key: &[u8], value: &[u8], ttl: u32) -> bool {
    unsafe { host::kv_put(key.as_ptr(), key.len(), value.as_ptr(), value.len(), ttl) >= 0 }
}

/// Adds to a counter that is kept for `ttl` seconds from its first addition, and gives the sum.
pub fn kv_add(key: &[u8], delta: i64, ttl: u32) -> i64 {
    unsafe { host::kv_add(key.as_ptr(), key.len(), delta, ttl) }
}

/// The time, in Unix milliseconds.
pub fn now_ms() -> i64 {
    unsafe { host::now_ms() }
}

// ---- helpers --------------------------------------------------------------------------------------------------------

/// FNV-1a over text with a mixed end: the same text gives the same number in every SDK. Start with seed 0.
pub fn hash(seed: u64, text: &[u8]) -> u64 {
    let mut h = 14695981039346656037 ^ seed;
    for &c in text {
        h = (h ^ u64::from(c)).wrapping_mul(1099511628211);
    }
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^ h >> 33
}

/// Whether two texts are equal, eight bytes at a time: the node counts every turn of a loop.
#[inline]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let (mut x, mut y) = (a.chunks_exact(8), b.chunks_exact(8));
    a.len() == b.len()
        && x.by_ref().zip(y.by_ref()).all(|(x, y)| View(x).u64(0) == View(y).u64(0))
        && x.remainder().iter().eq(y.remainder())
}

/// The members of a JSON object as name and value, enough for a config. A string comes without its quotes, its escapes
/// as they stand.
pub fn members(object: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut walk = elements(object);
    core::iter::from_fn(move || Some((walk.next()?, walk.next()?)))
}

/// The elements of a JSON array.
pub fn elements(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = trim(array).get(1..).unwrap_or(&[]);
    core::iter::from_fn(move || {
        let s = trim(rest);
        let n = value_len(s);
        let value = s.get(..n).filter(|v| !v.is_empty())?;
        rest = &s[n..];
        match value {
            [b'"', text @ .., b'"'] => Some(text),
            _ => Some(value),
        }
    })
}

/// The value of a member of a JSON object.
pub fn member<'a>(object: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    members(object).find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// The whole number that text begins with.
pub fn int(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        _ => (1, text),
    };
    let n = digits.iter().take_while(|c| c.is_ascii_digit()).count();
    if n == 0 {
        return None;
    }
    Some(digits[..n].iter().fold(0i64, |v, c| v.wrapping_mul(10).wrapping_add(i64::from(c - b'0'))).wrapping_mul(sign))
}

fn between(c: u8) -> bool {
    matches!(c, b' ' | b'\n' | b'\t' | b'\r' | b',' | b':')
}

fn trim(s: &[u8]) -> &[u8] {
    let n = s.iter().take_while(|c| between(**c)).count();
    &s[n..]
}

/// The length of the value that `s` begins with.
fn value_len(s: &[u8]) -> usize {
    let (mut depth, mut quoted, mut i) = (0u32, false, 0);
    while i < s.len() {
        let c = s[i];
        match c {
            b'\\' if quoted => i += 1,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return i,
            b'}' | b']' => depth -= 1,
            _ if depth == 0 && between(c) => return i,
            _ => {}
        }
        i += 1;
        if depth == 0 && !quoted && matches!(c, b'"' | b'}' | b']') {
            return i;
        }
    }
    s.len()
}
