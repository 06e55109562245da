// Writes all that its views hold as actions, for sdk_test.go.
import * as w from "./wedge1";
export {
  wedge1_alloc, wedge1_caps, wedge1_chunk, wedge1_done, wedge1_init, wedge1_request, wedge1_response,
} from "./wedge1";

function num(a: w.Actions, n: u32): void { a.maxTokens(n); }
function wide(a: w.Actions, n: u64): void { a.kvAdd("", n, 0); }
function bits(a: w.Actions, all: bool[]): void { for (let i = 0; i < all.length; i++) num(a, all[i] ? 1 : 0); }
function texts(a: w.Actions, all: w.Text[]): void { for (let i = 0; i < all.length; i++) a.targetText(all[i]); }
function nums(a: w.Actions, all: u32[]): void { for (let i = 0; i < all.length; i++) num(a, all[i]); }

let config: w.Text = 0;

w.serveInit((given: w.Text): i32 => {
  config = given;
  return w.member(given, "refuse") != 0 ? w.ERR_CONFIG : 0;
});

function everyAction(a: w.Actions): void {
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
  a.cache(w.CACHE_EXACT, 60);
  a.metric("k", "v");
  a.patch(3, 4, "ins");
  a.body("{}");
  a.systemPrepend("before");
  a.systemReplace("instead");
  a.message(2, "text");
  a.maxTokens(256);
  a.timeoutMs(5000);
  a.log(w.LEVEL_WARN, "line");
  a.kvPut("key", "value", 7);
  a.kvAdd("count", -5, 8);
  a.hedgeMs(250);
  a.shadow("us");
  a.answer("no");
  a.state("left");
  a.text("other");
  a.drop();
  a.stop("enough");
}

const scratch = memory.data(64, 8);

// A short literal as text that the imports take.
function ascii(s: string, at: usize): w.Text {
  return w.text(at, <u32>String.UTF8.encodeUnsafe(changetype<usize>(s), s.length, at));
}

// Uses every import.
function imports(a: w.Actions): void {
  const got = scratch + 32;
  w.log(w.LEVEL_INFO, ascii("hello", scratch));
  const none = w.kvGet(ascii("none", scratch), got, 8);
  num(a, none == 0 ? u32.MAX_VALUE : w.lengthOf(none));
  num(a, w.kvPut(ascii("k", scratch), ascii("v", scratch + 8), 9) ? 0 : 1);
  const value = w.kvGet(ascii("k", scratch), got, 8);
  num(a, w.lengthOf(value));
  a.targetText(value);
  wide(a, w.kvAdd(ascii("n", scratch), -3, 0));
  wide(a, w.nowMs());
}

w.serve(w.BODY | w.SYSTEM | w.USER | w.HEADERS | w.TARGETS | w.STATE, (r: w.Request, a: w.Actions): i32 => {
  if (w.is(r.model, "fail")) return w.ERR_UNSUPPORTED;
  if (w.is(r.model, "every action")) everyAction(a);
  else if (w.is(r.model, "imports")) imports(a);
  else if (w.is(r.model, "config")) a.targetText(w.member(config, "name"));
  else if (w.is(r.model, "hash")) wide(a, w.hash(3, ascii("abc", scratch)));
  else fields(r, a);
  return 0;
});

function fields(r: w.Request, a: w.Actions): void {
  bits(a, [r.stream, r.hasTools, r.hasImages, r.jsonOutput, r.retry]);
  wide(a, r.id);
  wide(a, r.unixMs);
  wide(a, r.prefixHash);
  wide(a, r.random);
  nums(a, [r.promptTokens, r.maxTokens, r.messages, r.tools, reinterpret<u32>(r.temperature), r.attempt]);
  texts(a, [r.model, r.tenant, r.user, r.endpoint, r.system, r.lastUser, r.body, r.version]);
  for (let i: u32 = 0; i < r.headers; i++) a.setHeaderText(w.str(r.headerName(i)), r.headerValue(i));
  for (let i: u32 = 0; i < r.kvs; i++) a.setHeaderText(w.str(r.kvKey(i)), r.kvValue(i));
  for (let i: u32 = 0; i < r.targets; i++) {
    const t = r.target(i);
    texts(a, [t.name, t.region]);
    bits(a, [t.healthy, t.breaker]);
    nums(a, [t.inFlight, t.ttftUs, t.usPerToken, t.priceIn, t.priceOut]);
  }
}

w.serveChunk((c: w.Chunk, a: w.Actions): i32 => {
  bits(a, [c.first, c.last]);
  wide(a, c.id);
  nums(a, [c.seq, c.choice, c.tokens]);
  texts(a, [c.text, c.state, c.finish]);
  return 0;
});

w.serveResponse((r: w.Response, a: w.Actions): i32 => {
  bits(a, [r.cached]);
  wide(a, r.id);
  nums(a, [r.status, r.choice, r.inputTokens, r.outputTokens]);
  texts(a, [r.text, r.state, r.finish]);
  return 0;
});

w.serveDone((d: w.Done, a: w.Actions): i32 => {
  bits(a, [d.error, d.cached, d.cancelled, d.stream]);
  wide(a, d.id);
  nums(a, [d.status, d.ttftUs, d.durationUs, d.inputTokens, d.outputTokens, d.cachedTokens, d.reasoningTokens]);
  wide(a, d.costNanoUsd);
  texts(a, [d.model, d.version, d.target, d.state]);
  return 0;
});
