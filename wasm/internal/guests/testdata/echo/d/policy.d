/// Writes all that its views hold as actions, for sdk_test.go.
module policy;

import wedge1;

@nogc nothrow:

void nums(N...)(ref Actions a, N all) { foreach (n; all) a.maxTokens(n); }
void wide(N...)(ref Actions a, N all) { foreach (n; all) a.kvAdd("", cast(long) n, 0); }
void texts(V, S...)(ref Actions a, const V* view, S all) { foreach (s; all) a.target(view.text(s)); }
void bits(ref Actions a, uint flags, uint n) { foreach (i; 0 .. n) a.maxTokens(flags >> i & 1); }

void pairs(ref Actions a, const Request* r, Span table) {
    foreach (ref row; r.pairs(table)) a.setHeader(r.text(row.name), r.text(row.value));
}

__gshared Text config;

int init(Text given) {
    config = given;
    return jsonGet(given, "refuse") is null ? 0 : Err.config;
}

void everyAction(ref Actions a) {
    a.target("eu");
    a.critical();
    a.shadow("taken back");
    a.undo();
    a.fallbacks("eu,us");
    a.model("bot@1.x");
    a.version_("1.2.0");
    a.setHeader("x-a", "b");
    a.deleteHeader("x-a");
    a.responseHeader("x-b", "é");
    a.deny(429, 30, "later");
    a.cacheSalt("fr");
    a.cache(Cache.exact, 60);
    a.metric("k", "v");
    const Patch[1] one = [Patch(3, 4, "ins")];
    a.patches(one[]);
    a.replaceBody("{}");
    a.systemText(Place.prepend, "before");
    a.systemText(Place.replace, "instead");
    a.message(2, "text");
    a.maxTokens(256);
    a.timeoutMs(5000);
    a.log(Level.warn, "line");
    a.kvPut("key", "value", 7);
    a.kvAdd("count", -5, 8);
    a.hedgeMs(250);
    a.shadow("us");
    a.answer("no");
    a.state("left");
    a.replace("other");
    a.drop();
    a.stop("enough");
}

/// Uses every import.
void imports(ref Actions a) {
    char[8] got;
    logNow(Level.info, "hello");
    auto none = kvGet("none", got[]);
    nums(a, none is null ? uint.max : cast(uint) none.length);
    nums(a, kvPutNow("k", "v", 9) ? 0u : 1u);
    auto value = kvGet("k", got[]);
    nums(a, cast(uint) value.length);
    a.target(value);
    wide(a, kvAddNow("n", -3, 0), nowMs());
}

int request(const Request* r, ref Actions a) {
    auto model = r.text(r.model);
    if (same(model, "fail")) return Err.unsupported;
    if (same(model, "every action")) everyAction(a);
    else if (same(model, "imports")) imports(a);
    else if (same(model, "config")) a.target(jsonGet(config, "name"));
    else if (same(model, "hash")) wide(a, hash(3, "abc"));
    else fields(r, a);
    return 0;
}

void fields(const Request* r, ref Actions a) {
    bits(a, r.flags, 5);
    wide(a, r.id, r.unixMs, r.prefixHash, r.random);
    float temperature = r.temperature;
    nums(a, r.promptTokens, r.maxTokens, r.messages, r.tools, *cast(uint*)&temperature, r.attempt);
    texts(a, r, r.model, r.tenant, r.user, r.endpoint, r.system, r.lastUser, r.requestBody, r.version_);
    pairs(a, r, r.headers);
    pairs(a, r, r.kv);
    foreach (ref t; r.targetRows()) {
        texts(a, r, t.name, t.region);
        bits(a, t.flags, 2);
        nums(a, t.inFlight, t.ttftUs, t.usPerToken, t.priceIn, t.priceOut);
    }
}

int chunk(const Chunk* c, ref Actions a) {
    bits(a, c.flags, 2);
    wide(a, c.id);
    nums(a, c.seq, c.choice, c.tokens);
    texts(a, c, c.delta, c.state, c.finish);
    return 0;
}

int response(const Response* r, ref Actions a) {
    nums(a, cast(uint) r.flag(Done.CACHED));
    wide(a, r.id);
    nums(a, r.status, r.choice, r.inputTokens, r.outputTokens);
    texts(a, r, r.answer, r.state, r.finish);
    return 0;
}

int done(const Done* d, ref Actions a) {
    bits(a, d.flags, 4);
    wide(a, d.id);
    nums(a, d.status, d.ttftUs, d.durationUs, d.inputTokens, d.outputTokens, d.cachedTokens, d.reasoningTokens);
    wide(a, d.costNanoUsd);
    texts(a, d, d.model, d.version_, d.target, d.state);
    return 0;
}

mixin Wedge1!(CAP_BODY | CAP_SYSTEM | CAP_USER | CAP_HEADERS | CAP_TARGETS | CAP_STATE, request, init, chunk, response, done);
