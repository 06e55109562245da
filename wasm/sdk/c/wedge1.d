/// The SDK for Wedge policies in D with -betterC: typed views of what a policy sees, builders of what it decides.
///
///     import wedge1;
///
///     int request(const Request* r, ref Actions a) {
///         if (r.header("x-plan") == "free") a.target("small");
///         return 0;
///     }
///
///     mixin Wedge1!(CAP_HEADERS, request);
///
/// The mixin exports what it is given: the hook for requests, and those that follow it by their view's type. A hook
/// returns 0, or a negative Err that fails the call. Text is valid until the hook returns, the config's for good.
module wedge1;

import ldc.attributes : llvmAttr;

@nogc nothrow:

alias Text = const(char)[];

/// What a policy wants to see. The hooks add their own bits.
enum uint CAP_BODY = 2, CAP_SYSTEM = 4, CAP_USER = 8, CAP_HEADERS = 16, CAP_TARGETS = 32, CAP_STATE = 512;

enum Err { internal = -1, badInput = -2, unsupported = -3, config = -4, exhausted = -5 }

// ---- views ----------------------------------------------------------------------------------------------------------

/// Where a text lies, counted from the start of the view.
struct Span { uint off, len; }

struct Pair { Span name, value; }

mixin template View() {
    uint magic, total, headerLen, flags;
    ulong id;

    Text text(Span s) const return @nogc nothrow { return (cast(const(char)*) &this)[s.off .. s.off + s.len]; }
    bool flag(uint bit) const @nogc nothrow { return (flags & bit) != 0; }
}

/// What a policy sees of a request. Of a Span, text(span) is the text.
struct Request {
    mixin View;
    enum uint STREAM = 1, TOOLS = 2, IMAGES = 4, JSON_OUTPUT = 8, RETRY = 16;

    long unixMs;
    ulong prefixHash; /// of system text and tools
    ulong random;     /// for draws
    uint promptTokens; /// estimated
    uint maxTokens;    /// 0 where the client is silent
    uint messages, tools; /// how many
    float temperature;    /// NaN where the client is silent
    uint attempt;         /// 0 for the first
    Span model, tenant, user, endpoint, system, lastUser, headers, targets, requestBody, kv, version_;

    @nogc nothrow const:

    /// The value of a header, null if it is not there; the case of ASCII letters does not count.
    Text header(Text name) return { return find(headers, name); }

    /// The value of a key that came with the request.
    Text keyValue(Text key) return { return find(kv, key); }

    const(Pair)[] pairs(Span table) return { return rows!Pair(table); }
    const(Target)[] targetRows() return { return rows!Target(targets); }

    private const(Row)[] rows(Row)(Span table) return {
        if (table.len == 0) return null;
        auto at = cast(const(ubyte)*) &this + table.off;
        return (cast(const(Row)*)(at + 4))[0 .. *cast(const(uint)*) at];
    }

    private Text find(Span table, Text name) return {
        foreach (ref row; pairs(table))
            if (sameFold(text(row.name), name)) return text(row.value);
        return null;
    }
}

struct Target {
    enum uint HEALTHY = 1, BREAKER = 2;
    Span name, region;
    uint flags, inFlight;
    uint ttftUs;     /// to the first token on average; 0 unknown
    uint usPerToken; /// per output token on average; 0 unknown
    uint priceIn;    /// nano-USD per 1,000 tokens; uint.max unknown
    uint priceOut;
}

/// One decoded delta of a streamed answer.
struct Chunk {
    mixin View;
    enum uint FIRST = 1, LAST = 2;
    uint seq;    /// counts this request's chunks from 0
    uint choice;
    uint tokens; /// sent so far, estimated
    uint reserved;
    Span delta;
    Span state; /// what the last call of this request left
    Span finish;
}

/// A whole answer's text. The flags are Done's.
struct Response {
    mixin View;
    uint status, choice, inputTokens, outputTokens;
    Span answer, state, finish;
}

/// How a request ended.
struct Done {
    mixin View;
    enum uint ERROR = 1, CACHED = 2, CANCELLED = 4, STREAM = 8;
    uint status, ttftUs, durationUs, inputTokens, outputTokens, cachedTokens, reasoningTokens, reserved;
    ulong costNanoUsd; /// ulong.max unknown
    Span model, version_, target, state;
}

static assert(Request.sizeof == 160 && Target.sizeof == 40 && Chunk.sizeof == 64 && Response.sizeof == 64 && Done.sizeof == 96);

// ---- actions --------------------------------------------------------------------------------------------------------

enum Cache : uint { keep, off, exact }
enum Level : uint { debug_, info, warn, error }
enum Place : uint { prepend, replace }

struct Patch { uint offset, remove; Text insert; }

/// The list that a hook fills.
struct Actions {
    private ubyte[] list;
    private size_t len, last;
    private bool failed;

    @nogc nothrow:

    /// Opens an action by its number in the ABI; put… writes its payload, and end closes it.
    void begin(ushort tag) {
        last = len;
        putInt!ulong(tag);
    }

    void put(Text bytes) {
        if (!room(bytes.length)) return;
        foreach (i, c; bytes) list[len + i] = c;
        len += bytes.length;
    }

    void putInt(Int)(const Int n) {
        if (!room(Int.sizeof)) return;
        *cast(Int*)&list[len] = n; // WebAssembly stores unaligned and little-endian
        len += Int.sizeof;
    }

    void end() {
        if (failed) return;
        immutable n = cast(uint)(len - last - 8);
        *cast(uint*)&list[last + 4] = n;
        foreach (_; 0 .. -n & 3) putInt!ubyte(0);
    }

    /// Takes the newest action back.
    void undo() { len = last; }

    /// Refuses the request rather than do without the newest action.
    void critical() { if (len > last) list[last + 2] |= 1; }

    void target(Text name) { add(1, name); }
    void fallbacks(Text names) { add(2, names); } /// names separated by commas
    void model(Text reference) { add(3, reference); }
    void version_(Text versionOrArm) { add(4, versionOrArm); }
    void setHeader(Text name, Text value) { addPair(5, name, value); }
    void deleteHeader(Text name) { add(6, name); }
    void responseHeader(Text name, Text value) { addPair(7, name, value); }
    /// Refuses the request with an HTTP status and the seconds after which to try again (0: do not say).
    void deny(ushort status, ushort retryAfter, Text message) { addInt(8, status | cast(uint) retryAfter << 16, message); }
    void cacheSalt(Text salt) { add(9, salt); }
    void cache(Cache mode, uint ttl) { begin(10); putInt!uint(mode); putInt!uint(ttl); end(); } /// ttl in seconds, 0: the model's
    void metric(Text key, Text value) { addPair(11, key, value); }
    /// Edits the body. The patches are sorted and do not overlap.
    void patches(const(Patch)[] all) {
        begin(12);
        putInt!uint(cast(uint) all.length);
        foreach (ref p; all) { putInt(p.offset); putInt(p.remove); putInt!uint(cast(uint) p.insert.length); }
        foreach (ref p; all) put(p.insert);
        end();
    }
    void replaceBody(Text whole) { add(13, whole); }
    void systemText(Place place, Text text) { addInt(14, place, text); }
    void message(uint index, Text text) { addInt(15, index, text); } /// counted from 0
    void maxTokens(uint n) { addInt(16, n, null); }
    void timeoutMs(uint ms) { addInt(17, ms, null); }
    void log(Level level, Text text) { addInt(18, level, text); }
    void kvPut(Text key, Text value, uint ttl) { begin(19); putInt(ttl); putInt!ushort(cast(ushort) key.length); put(key); put(value); end(); } /// ttl in seconds, 0: while the node runs
    void kvAdd(Text key, long delta, uint ttl) { begin(20); putInt(delta); putInt(ttl); put(key); end(); }
    void hedgeMs(uint ms) { addInt(21, ms, null); }
    void shadow(Text target) { add(22, target); }
    void answer(Text text) { add(23, text); }
    void state(Text bytes) { add(24, bytes); } /// at most 256 bytes, for the next view of this request
    void replace(Text text) { add(25, text); } /// of the chunk or the response
    void drop() { add(26, null); }
    void stop(Text reason) { add(27, reason); }

    private void add(ushort tag, Text rest) { begin(tag); put(rest); end(); }
    private void addInt(ushort tag, uint n, Text rest) { begin(tag); putInt(n); put(rest); end(); }
    private void addPair(ushort tag, Text name, Text value) {
        begin(tag);
        putInt!ushort(cast(ushort) name.length);
        put(name);
        put(value);
        end();
    }

    private bool room(size_t n) {
        if (len + n <= list.length) return true;
        auto fresh = pages(len + n > 2 * list.length ? len + n : 2 * list.length);
        if (fresh is null) { failed = true; return false; }
        foreach (i; 0 .. len) fresh[i] = list[i];
        list = fresh;
        return true;
    }
}

// ---- memory and exports ---------------------------------------------------------------------------------------------

pragma(LDC_intrinsic, "llvm.wasm.memory.grow.i32") private int growMemory(int memory, int pages);

private __gshared align(8) ubyte[16384] firstIn;
private __gshared align(8) ubyte[4096] firstOut;
private __gshared ubyte[1024] firstConfig;
private __gshared ubyte[] input;
private __gshared Actions actions;

/// Fresh zeroed memory in whole pages that nobody frees.
private ubyte[] pages(size_t size) {
    immutable n = (size >> 16) + 1, old = growMemory(0, cast(int) n);
    return old < 0 ? null : (cast(ubyte*)(old << 16))[0 .. n << 16];
}

ubyte* wedge1Input(uint size) {
    if (input is null) input = firstIn[];
    if (size > input.length) {
        auto fresh = pages(size > 2 * input.length ? size : 2 * input.length);
        if (fresh is null) return null;
        input = fresh;
    }
    return input.ptr;
}

Text wedge1Keep(uint len) {
    auto kept = len > firstConfig.length ? pages(len) : firstConfig[];
    if (kept is null) return null;
    foreach (i; 0 .. len) kept[i] = input[i];
    return cast(Text) kept[0 .. len];
}

long wedge1Call(alias hook, V)() {
    if (actions.list is null) actions.list = firstOut[];
    actions.len = actions.last = 0;
    actions.failed = false;
    immutable verdict = hook(cast(const(V)*) input.ptr, actions);
    if (verdict < 0) return verdict;
    if (actions.failed) return Err.exhausted;
    return actions.len == 0 ? 0 : cast(long) cast(size_t) actions.list.ptr << 32 | cast(long) actions.len;
}

/// Exports a policy: what it wants to see, its hook for requests, and, if it has any, `int init(Text config)` and the
/// hooks `chunk`, `response` and `done`, by these names.
mixin template Wedge1(uint caps, alias onRequest, hooks...) {
    extern (C) export @nogc nothrow {
        uint wedge1_caps() {
            uint bits = caps;
            static foreach (hook; hooks) {
                static if (__traits(identifier, hook) == "chunk") bits |= 64;
                static if (__traits(identifier, hook) == "response") bits |= 128;
                static if (__traits(identifier, hook) == "done") bits |= 256;
            }
            return bits;
        }

        ubyte* wedge1_alloc(uint size) { return wedge1Input(size); }

        int wedge1_init(uint len) {
            auto config = wedge1Keep(len);
            if (config is null) return Err.exhausted;
            static foreach (hook; hooks)
                static if (__traits(identifier, hook) == "init") return hook(config);
            return 0;
        }

        long wedge1_request(uint) { return wedge1Call!(onRequest, Request)(); }
        static foreach (hook; hooks) {
            static if (__traits(identifier, hook) == "chunk") long wedge1_chunk(uint) { return wedge1Call!(hook, Chunk)(); }
            static if (__traits(identifier, hook) == "response") long wedge1_response(uint) { return wedge1Call!(hook, Response)(); }
            static if (__traits(identifier, hook) == "done") long wedge1_done(uint) { return wedge1Call!(hook, Done)(); }
        }
    }
}

// ---- imports: what is used is imported ------------------------------------------------------------------------------

private extern (C) {
    @llvmAttr("wasm-import-module", "wedge1") @llvmAttr("wasm-import-name", "log")
    void wedge1_log(uint level, const(char)* text, size_t len);
    @llvmAttr("wasm-import-module", "wedge1") @llvmAttr("wasm-import-name", "kv_get")
    int wedge1_kv_get(const(char)* key, size_t keyLen, char* dst, size_t cap);
    @llvmAttr("wasm-import-module", "wedge1") @llvmAttr("wasm-import-name", "kv_put")
    int wedge1_kv_put(const(char)* key, size_t keyLen, const(char)* value, size_t len, uint ttl);
    @llvmAttr("wasm-import-module", "wedge1") @llvmAttr("wasm-import-name", "kv_add")
    long wedge1_kv_add(const(char)* key, size_t keyLen, long delta, uint ttl);
    @llvmAttr("wasm-import-module", "wedge1") @llvmAttr("wasm-import-name", "now_ms")
    long wedge1_now_ms();
}

/// Writes a line to the node's log at once, also where the call fails later.
void logNow(Level level, Text line) { wedge1_log(level, line.ptr, line.length); }

/// Copies the key's value to dst and gives it; null if there is none or it does not fit.
Text kvGet(Text key, char[] dst) {
    immutable n = wedge1_kv_get(key.ptr, key.length, dst.ptr, dst.length);
    return n < 0 || n > dst.length ? null : dst[0 .. n];
}

/// Keeps a value for ttl seconds, 0 while the node runs; false if the key or the value is too long.
bool kvPutNow(Text key, Text value, uint ttl) { return wedge1_kv_put(key.ptr, key.length, value.ptr, value.length, ttl) >= 0; }

/// Adds to a counter that is kept for ttl seconds from its first addition, and gives the sum.
long kvAddNow(Text key, long delta, uint ttl) { return wedge1_kv_add(key.ptr, key.length, delta, ttl); }

/// The time, in Unix milliseconds.
long nowMs() { return wedge1_now_ms(); }

// ---- helpers --------------------------------------------------------------------------------------------------------

char lower(char c) { return c >= 'A' && c <= 'Z' ? cast(char)(c | 32) : c; }

bool same(Text a, Text b) {
    if (a.length != b.length) return false;
    foreach (i, c; a) if (c != b[i]) return false;
    return true;
}

/// Equal but for the case of ASCII letters.
bool sameFold(Text a, Text b) {
    if (a.length != b.length) return false;
    foreach (i, c; a) if (lower(c) != lower(b[i])) return false;
    return true;
}

/// FNV-1a over text with a mixed end: the same text gives the same number in every SDK. Start with seed 0.
ulong hash(ulong seed, Text text) {
    ulong h = 14695981039346656037UL ^ seed;
    foreach (c; text) h = (h ^ c) * 1099511628211UL;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdUL;
    return h ^ h >> 33;
}

/// The whole number that text begins with, or otherwise if it begins with none.
long parseInt(Text text, long otherwise) {
    immutable size_t first = text.length && text[0] == '-';
    size_t i = first;
    long n = 0;
    for (; i < text.length && text[i] >= '0' && text[i] <= '9'; i++) n = n * 10 + (text[i] - '0');
    return i == first ? otherwise : first ? -n : n;
}

/// A walk over a JSON object or array, enough for a config. A string comes without its quotes, its escapes as they
/// stand.
struct Json {
    private Text rest;

    @nogc nothrow:

    this(Text json) {
        rest = trim(json);
        if (rest.length) rest = rest[1 .. $];
    }

    /// Moves to the next member of an object; false at the end.
    bool member(ref Text name, ref Text value) { return element(name) && element(value); }

    /// Moves to the next element of an array; false at the end.
    bool element(ref Text value) {
        auto all = trim(rest);
        immutable n = valueLength(all);
        if (n == 0) return false;
        rest = all[n .. $];
        value = all[0] == '"' && n > 1 ? all[1 .. n - 1] : all[0 .. n];
        return true;
    }

    private static bool between(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == ',' || c == ':'; }

    private static Text trim(Text s) {
        while (s.length && between(s[0])) s = s[1 .. $];
        return s;
    }

    private static size_t valueLength(Text s) {
        uint depth;
        bool quoted;
        for (size_t i = 0; i < s.length; i++) {
            immutable c = s[i];
            if (quoted) {
                if (c == '\\') i++;
                else if (c == '"') quoted = false;
                if (!quoted && depth == 0) return i + 1;
            } else if (c == '"') quoted = true;
            else if (c == '{' || c == '[') depth++;
            else if (c == '}' || c == ']') {
                if (depth == 0) return i;
                if (--depth == 0) return i + 1;
            } else if (depth == 0 && between(c)) return i;
        }
        return s.length;
    }
}

/// The value of a member of a JSON object, null if it is not there.
Text jsonGet(Text object, Text name) {
    auto walk = Json(object);
    Text key, value;
    while (walk.member(key, value)) if (same(key, name)) return value;
    return null;
}
