//! Writes all that its views hold as actions, for sdk_test.go.
const w = @import("wedge1.zig");

pub const caps = w.body | w.system | w.user | w.headers | w.targets | w.state;

fn nums(a: *w.Actions, all: []const u32) void {
    for (all) |n| a.maxTokens(n);
}

fn bools(a: *w.Actions, all: []const bool) void {
    for (all) |b| a.maxTokens(@intFromBool(b));
}

fn wide(a: *w.Actions, all: []const u64) void {
    for (all) |n| a.kvAdd("", @bitCast(n), 0);
}

fn texts(a: *w.Actions, view: anytype, all: []const w.Span) void {
    for (all) |s| a.target(view.text(s));
}

fn pairs(a: *w.Actions, r: *const w.Request, table: w.Span) void {
    for (r.pairs(table)) |row| a.setHeader(r.text(row.name), r.text(row.value));
}

var config: w.Text = "";

pub fn init(given: w.Text) w.Error!void {
    config = given;
    if (w.jsonGet(given, "refuse") != null) return error.Config;
}

fn everyAction(a: *w.Actions) void {
    a.target("eu");
    a.critical();
    a.shadow("taken back");
    a.undo();
    a.fallbacks("eu,us");
    a.model("bot@1.x");
    a.version("1.2.0");
    a.setHeader("x-a", "b");
    a.deleteHeader("x-a");
    a.responseHeader("x-b", "é");
    a.deny(429, 30, "later");
    a.cacheSalt("fr");
    a.cache(.exact, 60);
    a.metric("k", "v");
    a.patches(&.{.{ .offset = 3, .delete = 4, .insert = "ins" }});
    a.replaceBody("{}");
    a.systemText(.prepend, "before");
    a.systemText(.replace, "instead");
    a.message(2, "text");
    a.maxTokens(256);
    a.timeoutMs(5000);
    a.log(.warn, "line");
    a.kvPut("key", "value", 7);
    a.kvAdd("count", -5, 8);
    a.hedgeMs(250);
    a.shadow("us");
    a.answer("no");
    a.keep("left");
    a.replace("other");
    a.drop();
    a.stop("enough");
}

/// Uses every import.
fn imports(a: *w.Actions) void {
    var got: [8]u8 = undefined;
    w.logNow(.info, "hello");
    nums(a, &.{if (w.kvGet("none", &got)) |v| @intCast(v.len) else 0xffffffff});
    bools(a, &.{!w.kvPutNow("k", "v", 9)});
    const value = w.kvGet("k", &got) orelse "";
    nums(a, &.{@intCast(value.len)});
    a.target(value);
    wide(a, &.{ @bitCast(w.kvAddNow("n", -3, 0)), @bitCast(w.nowMs()) });
}

pub fn request(r: *const w.Request, a: *w.Actions) w.Error!void {
    const model = r.text(r.model);
    if (w.eql(model, "fail")) return error.Unsupported;
    if (w.eql(model, "every action")) {
        everyAction(a);
    } else if (w.eql(model, "imports")) {
        imports(a);
    } else if (w.eql(model, "config")) {
        a.target(w.jsonGet(config, "name") orelse "");
    } else if (w.eql(model, "hash")) {
        wide(a, &.{w.hash(3, "abc")});
    } else fields(r, a);
}

fn fields(r: *const w.Request, a: *w.Actions) void {
    const f = r.flags;
    bools(a, &.{ f.stream, f.has_tools, f.has_images, f.json_output, f.retry });
    wide(a, &.{ r.id, @bitCast(r.unix_ms), r.prefix_hash, r.random });
    nums(a, &.{ r.prompt_tokens, r.max_tokens, r.messages, r.tools, @bitCast(r.temperature), r.attempt });
    texts(a, r, &.{ r.model, r.tenant, r.user, r.endpoint, r.system, r.last_user, r.body, r.version });
    pairs(a, r, r.headers);
    pairs(a, r, r.kv);
    for (r.targetRows()) |t| {
        texts(a, r, &.{ t.name, t.region });
        bools(a, &.{ t.flags.healthy, t.flags.breaker });
        nums(a, &.{ t.in_flight, t.ttft_us, t.us_per_token, t.price_in, t.price_out });
    }
}

pub fn chunk(c: *const w.Chunk, a: *w.Actions) w.Error!void {
    bools(a, &.{ c.flags.first, c.flags.last });
    wide(a, &.{c.id});
    nums(a, &.{ c.seq, c.choice, c.tokens });
    texts(a, c, &.{ c.delta, c.state, c.finish });
}

pub fn response(r: *const w.Response, a: *w.Actions) w.Error!void {
    bools(a, &.{r.flags.cached});
    wide(a, &.{r.id});
    nums(a, &.{ r.status, r.choice, r.input_tokens, r.output_tokens });
    texts(a, r, &.{ r.answer, r.state, r.finish });
}

pub fn done(d: *const w.Done, a: *w.Actions) w.Error!void {
    const f = d.flags;
    bools(a, &.{ f.failed, f.cached, f.cancelled, f.stream });
    wide(a, &.{d.id});
    nums(a, &.{ d.status, d.ttft_us, d.duration_us, d.input_tokens, d.output_tokens, d.cached_tokens, d.reasoning_tokens });
    wide(a, &.{d.cost_nano_usd});
    texts(a, d, &.{ d.model, d.version, d.target, d.state });
}

comptime {
    w.serve(@This());
}
