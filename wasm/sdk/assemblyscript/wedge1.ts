// The SDK for Wedge policies in AssemblyScript: typed views of what a policy sees, and builders of what it decides.
//
//     import { Actions, HEADERS, Request, is, serve } from "./wedge1";
//     export { wedge1_alloc, wedge1_caps, wedge1_init, wedge1_request } from "./wedge1";
//
//     serve(HEADERS, (r: Request, a: Actions): i32 => {
//       if (is(r.header("x-plan"), "free")) a.target("small");
//       return 0;
//     });
//
// A hook returns 0, or a negative ERR_… that fails the call. Build with: asc policy.ts -O3 -o policy.wasm
//
// Nothing here allocates per call. Text from a view is a Text: a place in memory, UTF-8, valid until the hook returns;
// text of the config is valid for good. str makes a string of it, which allocates.

/** The raw body, for Request.body. */
export const BODY: u32 = 1 << 1;
/** The system text, for Request.system. */
export const SYSTEM: u32 = 1 << 2;
/** The last user text, for Request.lastUser. */
export const USER: u32 = 1 << 3;
/** The headers that the catalog lists. */
export const HEADERS: u32 = 1 << 4;
/** The targets table. */
export const TARGETS: u32 = 1 << 5;
/** The policy keeps state in its memory between requests. */
export const STATE: u32 = 1 << 9;

export const ERR_INTERNAL = -1;
export const ERR_BAD_INPUT = -2;
export const ERR_UNSUPPORTED = -3;
export const ERR_CONFIG = -4;
export const ERR_EXHAUSTED = -5;

// ---- text -----------------------------------------------------------------------------------------------------------

/** Borrowed UTF-8: its address in the upper half, its length in bytes in the lower. 0 is no text. */
export type Text = u64;

// @ts-ignore: decorator
@inline
export function text(at: usize, len: u32): Text {
  return (<u64>at << 32) | <u64>len;
}

// @ts-ignore: decorator
@inline
export function addressOf(t: Text): usize {
  return <usize>(t >> 32);
}

/** The length in bytes. */
// @ts-ignore: decorator
@inline
export function lengthOf(t: Text): u32 {
  return <u32>t;
}

/** A byte of a text. */
// @ts-ignore: decorator
@inline
export function byteOf(t: Text, i: u32): u8 {
  return load<u8>(addressOf(t) + i);
}

/** The bytes of a text from one place up to, not including, another; both are cut to its length. */
export function cut(t: Text, from: u32, to: u32): Text {
  to = min(to, lengthOf(t));
  from = min(from, to);
  return text(addressOf(t) + from, to - from);
}

function lower(c: u32): u32 {
  return c - 65 < 26 ? c | 32 : c;
}

/** Whether a text begins with ASCII, which is a literal as a rule. */
export function starts(t: Text, ascii: string): bool {
  const n = <u32>ascii.length;
  if (lengthOf(t) < n) return false;
  const at = addressOf(t), wide = changetype<usize>(ascii);
  for (let i: u32 = 0; i < n; i++) {
    if (<u32>load<u8>(at + i) != <u32>load<u16>(wide + (i << 1))) return false;
  }
  return true;
}

/** Whether a text is the same as ASCII, which is a literal as a rule. */
export function is(t: Text, ascii: string): bool {
  return lengthOf(t) == <u32>ascii.length && starts(t, ascii);
}

/** is, where the case of letters does not count. */
export function isFold(t: Text, ascii: string): bool {
  const n = <u32>ascii.length;
  if (lengthOf(t) != n) return false;
  const at = addressOf(t), wide = changetype<usize>(ascii);
  for (let i: u32 = 0; i < n; i++) {
    if (lower(load<u8>(at + i)) != lower(load<u16>(wide + (i << 1)))) return false;
  }
  return true;
}

/** Whether two texts are the same but for the case of ASCII letters. */
export function sameFold(a: Text, b: Text): bool {
  const n = lengthOf(a), x = addressOf(a), y = addressOf(b);
  if (n != lengthOf(b)) return false;
  for (let i: u32 = 0; i < n; i++) {
    if (lower(load<u8>(x + i)) != lower(load<u8>(y + i))) return false;
  }
  return true;
}

/** The text as a string. */
export function str(t: Text): string {
  return String.UTF8.decodeUnsafe(addressOf(t), lengthOf(t));
}

/** FNV-1a over a text with a mixed end: the same text gives the same number in every SDK. Start with seed 0. */
export function hash(seed: u64, t: Text): u64 {
  let h: u64 = 14695981039346656037 ^ seed;
  const at = addressOf(t), n = lengthOf(t);
  for (let i: u32 = 0; i < n; i++) h = (h ^ <u64>load<u8>(at + i)) * 1099511628211;
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccd;
  return h ^ (h >> 33);
}

/** The whole number that a text begins with, or otherwise if it begins with none. */
export function int(t: Text, otherwise: i64): i64 {
  const n = lengthOf(t), negative = n > 0 && byteOf(t, 0) == 45;
  const first: u32 = negative ? 1 : 0;
  let i = first, v: i64 = 0;
  for (; i < n && <u32>byteOf(t, i) - 48 < 10; i++) v = v * 10 + (<i64>byteOf(t, i) - 48);
  return i == first ? otherwise : negative ? -v : v;
}

// ---- JSON: enough for a config --------------------------------------------------------------------------------------

/** A walk over the members of an object or the elements of an array. A string comes without its quotes, its escapes as
 * they stand. */
export class JSONWalk {
  private rest: Text;
  /** The newest member's name, and its or the newest element's value. */
  name: Text = 0;
  value: Text = 0;

  constructor(json: Text) {
    const all = trim(json);
    this.rest = cut(all, 1, lengthOf(all));
  }

  /** Moves to the next member of an object; false at the end. */
  nextMember(): bool {
    if (!this.nextElement()) return false;
    this.name = this.value;
    return this.nextElement();
  }

  /** Moves to the next element of an array; false at the end. */
  nextElement(): bool {
    const all = trim(this.rest), n = valueLength(all);
    if (n == 0) return false;
    this.rest = cut(all, n, lengthOf(all));
    this.value = byteOf(all, 0) == 34 && n > 1 ? cut(all, 1, n - 1) : cut(all, 0, n);
    return true;
  }
}

/** The value of a member of a JSON object, or 0. */
export function member(object: Text, name: string): Text {
  const walk = new JSONWalk(object);
  while (walk.nextMember()) if (is(walk.name, name)) return walk.value;
  return 0;
}

function between(c: u8): bool {
  return c == 32 || c == 10 || c == 9 || c == 13 || c == 44 || c == 58;
}

function trim(t: Text): Text {
  let i: u32 = 0;
  while (i < lengthOf(t) && between(byteOf(t, i))) i++;
  return cut(t, i, lengthOf(t));
}

/** The length of the value that a text begins with. */
function valueLength(t: Text): u32 {
  let depth = 0, quoted = false;
  for (let i: u32 = 0; i < lengthOf(t); i++) {
    const c = byteOf(t, i);
    if (quoted) {
      if (c == 92) i++;
      else if (c == 34) quoted = false;
      if (!quoted && depth == 0) return min(i + 1, lengthOf(t));
    } else if (c == 34) {
      quoted = true;
    } else if (c == 123 || c == 91) {
      depth++;
    } else if (c == 125 || c == 93) {
      if (depth == 0) return i;
      if (--depth == 0) return i + 1;
    } else if (depth == 0 && between(c)) {
      return i;
    }
  }
  return lengthOf(t);
}

// ---- memory ---------------------------------------------------------------------------------------------------------

let input: usize = memory.data(16384, 16);
let inputSize: u32 = 16384;
let inputOwned = false;

let output: usize = memory.data(4096, 16);
let outputSize: u32 = 4096;
let outputOwned = false;
let used: u32 = 0; // bytes of the output
let last: u32 = 0; // where the newest action begins in it

function room(n: u32): usize {
  if (used + n > outputSize) growOutput(used + n);
  return output + used;
}

function growOutput(need: u32): void {
  const size = max(need, 2 * outputSize), fresh = heap.alloc(size);
  memory.copy(fresh, output, used);
  if (outputOwned) heap.free(output);
  output = fresh;
  outputSize = size;
  outputOwned = true;
}

// ---- views ----------------------------------------------------------------------------------------------------------

// @ts-ignore: decorator
@inline
function u32At(at: usize): u32 {
  return load<u32>(input + at);
}

// @ts-ignore: decorator
@inline
function textAt(at: usize): Text {
  return text(input + u32At(at), u32At(at + 4));
}

/** How many rows the table has whose span lies at a place. */
// @ts-ignore: decorator
@inline
function rowsAt(at: usize): u32 {
  return u32At(at + 4) == 0 ? 0 : u32At(u32At(at));
}

function find(table: usize, name: string): Text {
  const n = rowsAt(table);
  let row = u32At(table) + 4;
  for (let i: u32 = 0; i < n; i++, row += 16) {
    if (isFold(textAt(row), name)) return textAt(row + 8);
  }
  return 0;
}

/** What a policy sees of a request. */
@final
export class Request {
  get stream(): bool { return (u32At(12) & 1) != 0; }
  get hasTools(): bool { return (u32At(12) & 2) != 0; }
  get hasImages(): bool { return (u32At(12) & 4) != 0; }
  get jsonOutput(): bool { return (u32At(12) & 8) != 0; }
  get retry(): bool { return (u32At(12) & 16) != 0; }
  get id(): u64 { return load<u64>(input + 16); }
  get unixMs(): i64 { return load<i64>(input + 24); }
  /** Of system text and tools. */
  get prefixHash(): u64 { return load<u64>(input + 32); }
  /** For draws. */
  get random(): u64 { return load<u64>(input + 40); }
  /** Estimated. */
  get promptTokens(): u32 { return u32At(48); }
  /** 0 where the client is silent. */
  get maxTokens(): u32 { return u32At(52); }
  /** How many. */
  get messages(): u32 { return u32At(56); }
  /** How many. */
  get tools(): u32 { return u32At(60); }
  /** NaN where the client is silent. */
  get temperature(): f32 { return load<f32>(input + 64); }
  /** 0 for the first. */
  get attempt(): u32 { return u32At(68); }
  /** As resolved, without @version. */
  get model(): Text { return textAt(72); }
  get tenant(): Text { return textAt(80); }
  /** Of length 0 if unknown. */
  get user(): Text { return textAt(88); }
  /** The path, such as /v1/chat/completions. */
  get endpoint(): Text { return textAt(96); }
  get system(): Text { return textAt(104); }
  get lastUser(): Text { return textAt(112); }
  get body(): Text { return textAt(136); }
  get version(): Text { return textAt(152); }

  /** How many headers there are, and the i-th one's name and value. */
  get headers(): u32 { return rowsAt(120); }
  headerName(i: u32): Text { return textAt(u32At(120) + 4 + 16 * i); }
  headerValue(i: u32): Text { return textAt(u32At(120) + 12 + 16 * i); }
  /** The value of a header, or 0; the case of letters does not count. */
  header(name: string): Text { return find(120, name); }

  /** How many key-values came with the request, and the i-th one's key and value. */
  get kvs(): u32 { return rowsAt(144); }
  kvKey(i: u32): Text { return textAt(u32At(144) + 4 + 16 * i); }
  kvValue(i: u32): Text { return textAt(u32At(144) + 12 + 16 * i); }
  /** The value of a key that came with the request, or 0. */
  kv(key: string): Text { return find(144, key); }

  /** How many targets there are. */
  get targets(): u32 { return rowsAt(128); }
  /** The i-th target. The same object is given each time. */
  target(i: u32): Target {
    theTarget.at = u32At(128) + 4 + 40 * i;
    return theTarget;
  }
}

/** One of a request's targets. */
@final
export class Target {
  at: u32 = 0;
  get name(): Text { return textAt(this.at); }
  get region(): Text { return textAt(this.at + 8); }
  get healthy(): bool { return (u32At(this.at + 16) & 1) != 0; }
  /** Its breaker keeps requests away. */
  get breaker(): bool { return (u32At(this.at + 16) & 2) != 0; }
  get inFlight(): u32 { return u32At(this.at + 20); }
  /** Microseconds to the first token on average; 0 unknown. */
  get ttftUs(): u32 { return u32At(this.at + 24); }
  /** Microseconds per output token on average; 0 unknown. */
  get usPerToken(): u32 { return u32At(this.at + 28); }
  /** Nano-USD per 1,000 tokens; u32.MAX_VALUE unknown. */
  get priceIn(): u32 { return u32At(this.at + 32); }
  /** Nano-USD per 1,000 tokens; u32.MAX_VALUE unknown. */
  get priceOut(): u32 { return u32At(this.at + 36); }
}

/** One decoded delta of a streamed answer. */
@final
export class Chunk {
  /** The first delta of this choice. */
  get first(): bool { return (u32At(12) & 1) != 0; }
  /** No text follows for this choice. */
  get last(): bool { return (u32At(12) & 2) != 0; }
  get id(): u64 { return load<u64>(input + 16); }
  /** Counts this request's chunks from 0. */
  get seq(): u32 { return u32At(24); }
  get choice(): u32 { return u32At(28); }
  /** Sent so far, estimated. */
  get tokens(): u32 { return u32At(32); }
  get text(): Text { return textAt(40); }
  /** What the last call of this request left. */
  get state(): Text { return textAt(48); }
  /** The finish reason, in the last chunk. */
  get finish(): Text { return textAt(56); }
}

/** A whole answer's text. */
@final
export class Response {
  get cached(): bool { return (u32At(12) & 2) != 0; }
  get id(): u64 { return load<u64>(input + 16); }
  get status(): u32 { return u32At(24); }
  get choice(): u32 { return u32At(28); }
  get inputTokens(): u32 { return u32At(32); }
  get outputTokens(): u32 { return u32At(36); }
  get text(): Text { return textAt(40); }
  /** What the request's hook left. */
  get state(): Text { return textAt(48); }
  get finish(): Text { return textAt(56); }
}

/** How a request ended. */
@final
export class Done {
  /** The client got an error. */
  get error(): bool { return (u32At(12) & 1) != 0; }
  /** A cache or another caller's call answered. */
  get cached(): bool { return (u32At(12) & 2) != 0; }
  /** The client left before the end. */
  get cancelled(): bool { return (u32At(12) & 4) != 0; }
  get stream(): bool { return (u32At(12) & 8) != 0; }
  get id(): u64 { return load<u64>(input + 16); }
  get status(): u32 { return u32At(24); }
  get ttftUs(): u32 { return u32At(28); }
  get durationUs(): u32 { return u32At(32); }
  get inputTokens(): u32 { return u32At(36); }
  get outputTokens(): u32 { return u32At(40); }
  get cachedTokens(): u32 { return u32At(44); }
  get reasoningTokens(): u32 { return u32At(48); }
  /** u64.MAX_VALUE unknown. */
  get costNanoUsd(): u64 { return load<u64>(input + 56); }
  get model(): Text { return textAt(64); }
  get version(): Text { return textAt(72); }
  get target(): Text { return textAt(80); }
  get state(): Text { return textAt(88); }
}

// ---- actions --------------------------------------------------------------------------------------------------------

export const CACHE_KEEP: u32 = 0;
export const CACHE_OFF: u32 = 1;
export const CACHE_EXACT: u32 = 2;

export const LEVEL_DEBUG: u32 = 0;
export const LEVEL_INFO: u32 = 1;
export const LEVEL_WARN: u32 = 2;
export const LEVEL_ERROR: u32 = 3;

/** The list that a hook fills. A method whose name ends in Text takes a Text where its neighbour takes a string. */
@final
export class Actions {
  /** Opens an action by its number in the ABI. Its payload is written with put…, and end closes it. */
  begin(tag: u32): Actions {
    last = used;
    const at = room(8);
    store<u32>(at, tag);
    store<u32>(at, 0, 4);
    used += 8;
    return this;
  }

  end(): void {
    const n = used - last - 8;
    const pad: u32 = (0 - n) & 3;
    store<u32>(output + last, n, 4);
    const at = room(pad);
    for (let i: u32 = 0; i < pad; i++) store<u8>(at + i, 0);
    used += pad;
  }

  putU16(n: u32): Actions {
    store<u16>(room(2), <u16>n);
    used += 2;
    return this;
  }

  putU32(n: u32): Actions {
    store<u32>(room(4), n);
    used += 4;
    return this;
  }

  putText(t: Text): Actions {
    const n = lengthOf(t);
    memory.copy(room(n), addressOf(t), n);
    used += n;
    return this;
  }

  putString(s: string): Actions {
    const at = room(3 * s.length);
    used += <u32>String.UTF8.encodeUnsafe(changetype<usize>(s), s.length, at);
    return this;
  }

  private pair(tag: u32, name: string): Actions {
    return this.begin(tag).putU16(String.UTF8.byteLength(name)).putString(name);
  }

  /** Takes the newest action back. */
  undo(): void { used = last; }

  /** Refuses the request rather than do without the newest action. */
  critical(): void { if (used > last) store<u8>(output + last, 1, 2); }

  /** Chooses a target by its name in the catalog. */
  target(name: string): void { this.begin(1).putString(name).end(); }
  targetText(name: Text): void { this.begin(1).putText(name).end(); }
  /** Names the targets to try next, separated by commas. */
  fallbacks(names: string): void { this.begin(2).putString(names).end(); }
  /** Sends the request to another model: a reference such as bot or bot@1.x. */
  model(reference: string): void { this.begin(3).putString(reference).end(); }
  modelText(reference: Text): void { this.begin(3).putText(reference).end(); }
  /** Chooses a version, or an arm of the experiment on the model. */
  version(version: string): void { this.begin(4).putString(version).end(); }
  versionText(version: Text): void { this.begin(4).putText(version).end(); }
  /** Sets a header of the request upstream. */
  setHeader(name: string, value: string): void { this.pair(5, name).putString(value).end(); }
  setHeaderText(name: string, value: Text): void { this.pair(5, name).putText(value).end(); }
  /** Takes a header out of the request upstream. */
  deleteHeader(name: string): void { this.begin(6).putString(name).end(); }
  /** Sets a header of the answer to the client. */
  responseHeader(name: string, value: string): void { this.pair(7, name).putString(value).end(); }
  responseHeaderText(name: string, value: Text): void { this.pair(7, name).putText(value).end(); }
  /** Refuses the request with an HTTP status and the seconds after which to try again (0: do not say). */
  deny(status: u32, retryAfter: u32, message: string): void {
    this.begin(8).putU32((status & 0xffff) | (retryAfter << 16)).putString(message).end();
  }
  /** Adds bytes to the cache key. */
  cacheSalt(salt: string): void { this.begin(9).putString(salt).end(); }
  cacheSaltText(salt: Text): void { this.begin(9).putText(salt).end(); }
  /** Says whether (CACHE_…) and for how many seconds (0: the model's) the answer is cached. */
  cache(mode: u32, ttl: u32): void { this.begin(10).putU32(mode).putU32(ttl).end(); }
  /** Tags the request in metrics and logs: at most 8 tags, 32 bytes for a key and for a value. */
  metric(key: string, value: string): void { this.pair(11, key).putString(value).end(); }
  metricText(key: string, value: Text): void { this.pair(11, key).putText(value).end(); }
  /** Edits the body at one place: at offset, take bytes away and put a text in their place. For more edits, write the
   * action with begin(12): u32 n, n × (u32 offset, u32 delete, u32 length of insert), then the inserts. */
  patch(offset: u32, remove: u32, insert: string): void {
    this.begin(12).putU32(1).putU32(offset).putU32(remove).putU32(String.UTF8.byteLength(insert)).putString(insert).end();
  }
  /** Replaces the whole body. */
  body(body: string): void { this.begin(13).putString(body).end(); }
  /** Puts plain text before the system text. */
  systemPrepend(text: string): void { this.begin(14).putU32(0).putString(text).end(); }
  /** Puts plain text in the system text's place. */
  systemReplace(text: string): void { this.begin(14).putU32(1).putString(text).end(); }
  /** Replaces the text of the message with the index, counted from 0. */
  message(index: u32, text: string): void { this.begin(15).putU32(index).putString(text).end(); }
  /** Bounds the tokens of the answer. */
  maxTokens(n: u32): void { this.begin(16).putU32(n).end(); }
  /** Bounds the time of an attempt. */
  timeoutMs(ms: u32): void { this.begin(17).putU32(ms).end(); }
  /** Writes a line to the node's log (LEVEL_…). */
  log(level: u32, text: string): void { this.begin(18).putU32(level).putString(text).end(); }
  /** Keeps a value for ttl seconds, 0 while the node runs. */
  kvPut(key: string, value: string, ttl: u32): void {
    this.begin(19).putU32(ttl).putU16(String.UTF8.byteLength(key)).putString(key).putString(value).end();
  }
  /** Adds to a counter that begins at 0 and is kept for ttl seconds, 0 while the node runs. */
  kvAdd(key: string, delta: i64, ttl: u32): void {
    this.begin(20).putU32(<u32>delta).putU32(<u32>(delta >> 32)).putU32(ttl).putString(key).end();
  }
  /** Starts a second attempt if the first has not begun to answer in time. */
  hedgeMs(ms: u32): void { this.begin(21).putU32(ms).end(); }
  /** Sends a copy of the request to a target whose answer nobody gets. */
  shadow(target: string): void { this.begin(22).putString(target).end(); }
  /** Answers in the provider's place. */
  answer(text: string): void { this.begin(23).putString(text).end(); }
  /** Leaves at most 256 bytes for the next view of this request. */
  state(state: string): void { this.begin(24).putString(state).end(); }
  stateText(state: Text): void { this.begin(24).putText(state).end(); }
  /** Puts other text in the place of the chunk's or the response's. */
  text(text: string): void { this.begin(25).putString(text).end(); }
  /** Keeps the chunk back. */
  drop(): void { this.begin(26).end(); }
  /** Ends the stream well after this chunk. */
  stop(reason: string): void { this.begin(27).putString(reason).end(); }
}

// ---- imports: what is used is imported ------------------------------------------------------------------------------

// @ts-ignore: decorator
@external("wedge1", "log")
declare function hostLog(level: u32, text: usize, len: u32): void;
// @ts-ignore: decorator
@external("wedge1", "kv_get")
declare function hostGet(key: usize, keyLen: u32, dst: usize, cap: u32): i32;
// @ts-ignore: decorator
@external("wedge1", "kv_put")
declare function hostPut(key: usize, keyLen: u32, value: usize, len: u32, ttl: u32): i32;
// @ts-ignore: decorator
@external("wedge1", "kv_add")
declare function hostAdd(key: usize, keyLen: u32, delta: i64, ttl: u32): i64;
/** The time, in Unix milliseconds. */
// @ts-ignore: decorator
@external("wedge1", "now_ms")
export declare function nowMs(): i64;

/** Writes a line to the node's log at once, also where the call fails later. */
export function log(level: u32, t: Text): void { hostLog(level, addressOf(t), lengthOf(t)); }

/** Copies the key's value to a place that holds cap bytes and gives it; 0 if there is none or it does not fit. */
export function kvGet(key: Text, dst: usize, cap: u32): Text {
  const n = hostGet(addressOf(key), lengthOf(key), dst, cap);
  return n < 0 || <u32>n > cap ? 0 : text(dst, n);
}

/** Keeps a value for ttl seconds, 0 while the node runs; false if the key or the value is too long. */
export function kvPut(key: Text, value: Text, ttl: u32): bool {
  return hostPut(addressOf(key), lengthOf(key), addressOf(value), lengthOf(value), ttl) >= 0;
}

/** Adds to a counter that is kept for ttl seconds from its first addition, and gives the sum. */
export function kvAdd(key: Text, delta: i64, ttl: u32): i64 {
  return hostAdd(addressOf(key), lengthOf(key), delta, ttl);
}

// ---- exports --------------------------------------------------------------------------------------------------------

const theRequest = new Request();
const theTarget = new Target();
const theResponse = new Response();
const theChunk = new Chunk();
const theDone = new Done();
const theActions = new Actions();

let caps: u32 = 0;
let onInit: (config: Text) => i32 = (_: Text): i32 => 0;
let onRequest: (r: Request, a: Actions) => i32 = (_r: Request, _a: Actions): i32 => 0;
let onResponse: (r: Response, a: Actions) => i32 = (_r: Response, _a: Actions): i32 => 0;
let onChunk: (c: Chunk, a: Actions) => i32 = (_c: Chunk, _a: Actions): i32 => 0;
let onDone: (d: Done, a: Actions) => i32 = (_d: Done, _a: Actions): i32 => 0;

/** Says what the policy wants to see, and what it does with a request. Call it, and the others, at the top level, and
 * export wedge1_… of every hook that is used from the policy's file. */
export function serve(wants: u32, hook: (r: Request, a: Actions) => i32): void {
  caps |= wants;
  onRequest = hook;
}

/** Reads the catalog's config, a JSON object, {} if there is none. A negative result refuses the policy. */
export function serveInit(hook: (config: Text) => i32): void { onInit = hook; }

export function serveChunk(hook: (c: Chunk, a: Actions) => i32): void {
  caps |= 64;
  onChunk = hook;
}

export function serveResponse(hook: (r: Response, a: Actions) => i32): void {
  caps |= 128;
  onResponse = hook;
}

export function serveDone(hook: (d: Done, a: Actions) => i32): void {
  caps |= 256;
  onDone = hook;
}

export function wedge1_caps(): u32 { return caps; }

export function wedge1_alloc(size: u32): usize {
  if (size > inputSize) {
    if (inputOwned) heap.free(input);
    inputSize = max(size, 2 * inputSize);
    input = heap.alloc(inputSize);
    inputOwned = true;
  }
  return input;
}

export function wedge1_init(len: u32): i32 {
  const kept = heap.alloc(len);
  memory.copy(kept, input, len);
  return onInit(text(kept, len));
}

// @ts-ignore: decorator
@inline
function begin(): void {
  used = 0;
  last = 0;
}

// @ts-ignore: decorator
@inline
function result(verdict: i32): i64 {
  if (verdict < 0) return verdict;
  return used == 0 ? 0 : (<i64>output << 32) | <i64>used;
}

export function wedge1_request(_len: u32): i64 {
  begin();
  return result(onRequest(theRequest, theActions));
}

export function wedge1_response(_len: u32): i64 {
  begin();
  return result(onResponse(theResponse, theActions));
}

export function wedge1_chunk(_len: u32): i64 {
  begin();
  return result(onChunk(theChunk, theActions));
}

export function wedge1_done(_len: u32): i64 {
  begin();
  return result(onDone(theDone, theActions));
}
