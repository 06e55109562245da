// Builds policy.wasm from policy.js: the JavaScript engine QuickJS, compiled to WebAssembly, with the policy's source
// inside. It needs the npm packages quickjs-wasi and binaryen.
//
// policy.js is a plain script. Of these functions it declares those that it needs:
//
//     const caps = ["headers"];      // body, system, user, headers, targets, state
//     function init(config) {}       // the catalog's config
//     function request(view) {}      // and response(view), chunk(view), done(view)
//
// A view is the JSON view of docs/ABI.md, and what a function returns is an object of actions, or nothing. What a
// function throws is written to the node's log and fails the call.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRequire } from "node:module";

const bits = { body: 2, system: 4, user: 8, headers: 16, targets: 32, state: 512 };
const hooks = { request: 0, response: 128, chunk: 64, done: 256 };
const jsonView = 1;

const source = readFileSync("policy.js", "utf8");

// What the script declares is seen by running it here once.
const declared = new Function(`${source}
;return {
  caps: typeof caps === "undefined" ? [] : caps,
  init: typeof init === "function",
  ${Object.keys(hooks).map((name) => `${name}: typeof ${name} === "function"`)}
}`)();

const mine = Object.keys(hooks).filter((name) => declared[name]);
if (mine.length === 0) throw new Error(`policy.js declares none of ${Object.keys(hooks).join(", ")}`);
let caps = jsonView;
for (const name of mine) caps |= hooks[name];
for (const name of declared.caps) {
  if (!(name in bits)) throw new Error(`policy.js: caps has ${name}, want some of ${Object.keys(bits).join(", ")}`);
  caps |= bits[name];
}

// The engine evaluates this to a function that takes the number of a hook and a view. It returns the actions, or "!"
// and a message for the log.
const script = `(() => {
${source}
;const hooks = [${declared.init ? "init" : "() => {}"}, ${mine}];
return (hook, text) => {
  try {
    const actions = hooks[hook](JSON.parse(text));
    return hook > 0 && actions != null ? JSON.stringify(actions) : "";
  } catch (e) {
    return "!" + e + " " + (e?.stack ?? "");
  }
};
})()`;

const bytes = Buffer.from(script);
const escaped = [...bytes].map((b) => "\\" + b.toString(16).padStart(2, "0")).join("");

// Functions that QuickJS asks of a JavaScript host, which there is none of here.
const stub = `(module
  (func (export "host_get_timezone_offset") (param i32 i32) (result i32) (i32.const 0))
  (func (export "host_interrupt") (result i32) (i32.const 0))
  (func (export "host_promise_rejection") (param i32 i32 i32))
  (func (export "host_module_normalize") (param i32 i32) (result i32) (i32.const 0))
  (func (export "host_module_load") (param i32 i32) (result i32) (i32.const 0))
  (func (export "host_call") (param i32 i32 i32 i32 i32) (result i32) unreachable))`;

const shim = `(module
  (import "wedge1" "log" (func $log (param i32 i32 i32)))
  (import "qjs" "memory" (memory 0))
  (import "qjs" "malloc" (func $malloc (param i32) (result i32)))
  (import "qjs" "free" (func $free (param i32)))
  (import "qjs" "qjs_init" (func $start (result i32)))
  (import "qjs" "qjs_eval" (func $eval (param i32 i32 i32 i32) (result i32)))
  (import "qjs" "qjs_new_string" (func $string (param i32 i32) (result i32)))
  (import "qjs" "qjs_new_number" (func $number (param f64) (result i32)))
  (import "qjs" "qjs_call" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "qjs" "qjs_get_string_len" (func $text (param i32 i32) (result i32)))
  (import "qjs" "qjs_free_cstring" (func $free_text (param i32)))
  (import "qjs" "qjs_free_value" (func $free_value (param i32)))
  (import "qjs" "qjs_is_exception" (func $failed (param i32) (result i32)))
  (import "qjs" "qjs_get_undefined" (func $undefined (result i32)))
  (data $source "${escaped}")
  (global $in (mut i32) (i32.const 0))
  (global $capacity (mut i32) (i32.const 0))
  (global $args (mut i32) (i32.const 0)) ;; the hook's number, the view, and the length of a text
  (global $this (mut i32) (i32.const 0))
  (global $policy (mut i32) (i32.const 0))
  (global $list (mut i32) (i32.const 0)) ;; the text that the last call returned

  (func (export "wedge1_caps") (result i32) (i32.const ${caps}))

  (func (export "wedge1_alloc") (param $size i32) (result i32)
    (if (i32.gt_u (local.get $size) (global.get $capacity)) (then
      (call $free (global.get $in))
      (global.set $capacity (i32.add (local.get $size) (i32.shr_u (local.get $size) (i32.const 1))))
      (global.set $in (call $malloc (global.get $capacity)))
      (if (i32.eqz (global.get $in)) (then (global.set $capacity (i32.const 0))))))
    (global.get $in))

  ;; Calls a hook with the input. $list is its text, of the length at args + 8; 0 after an exception.
  (func $run (param $hook i32) (param $len i32)
    (local $number i32) (local $view i32) (local $result i32)
    (if (global.get $list) (then (call $free_text (global.get $list))))
    (global.set $list (i32.const 0))
    (local.set $number (call $number (f64.convert_i32_u (local.get $hook))))
    (local.set $view (call $string (global.get $in) (local.get $len)))
    (i32.store (global.get $args) (local.get $number))
    (i32.store offset=4 (global.get $args) (local.get $view))
    (local.set $result (call $call (global.get $policy) (global.get $this) (i32.const 2) (global.get $args)))
    (call $free_value (local.get $number))
    (call $free_value (local.get $view))
    (if (i32.eqz (call $failed (local.get $result))) (then
      (global.set $list (call $text (local.get $result) (i32.add (global.get $args) (i32.const 8))))))
    (call $free_value (local.get $result)))

  ;; Whether the text is a message, which it logs, or is missing.
  (func $bad (result i32)
    (if (i32.eqz (global.get $list)) (then (return (i32.const 1))))
    (if (i32.ne (i32.load8_u (global.get $list)) (i32.const 33)) (then (return (i32.const 0)))) ;; "!"
    (call $log (i32.const 3) (i32.add (global.get $list) (i32.const 1))
      (i32.sub (i32.load offset=8 (global.get $args)) (i32.const 1)))
    (i32.const 1))

  (func (export "wedge1_init") (param $len i32) (result i32)
    (local $code i32)
    (if (call $start) (then (return (i32.const -1))))
    (global.set $args (call $malloc (i32.const 16)))
    (global.set $this (call $undefined))
    (local.set $code (call $malloc (i32.const ${bytes.length + 1})))
    (memory.init $source (local.get $code) (i32.const 0) (i32.const ${bytes.length}))
    (i32.store8 offset=${bytes.length} (local.get $code) (i32.const 0))
    (i32.store offset=8 (global.get $args) (i32.const 0x736a)) ;; the script's name: js
    (global.set $policy (call $eval (local.get $code) (i32.const ${bytes.length}) (i32.add (global.get $args) (i32.const 8)) (i32.const 0)))
    (call $free (local.get $code))
    (if (call $failed (global.get $policy)) (then (return (i32.const -1))))
    (call $run (i32.const 0) (local.get $len))
    (if (call $bad) (then (return (i32.const -4))))
    (i32.const 0))

  (func $hook (param $hook i32) (param $len i32) (result i64)
    (call $run (local.get $hook) (local.get $len))
    (if (call $bad) (then (return (i64.const -1))))
    (if (i32.eqz (i32.load offset=8 (global.get $args))) (then (return (i64.const 0))))
    (i64.or
      (i64.shl (i64.extend_i32_u (global.get $list)) (i64.const 32))
      (i64.extend_i32_u (i32.load offset=8 (global.get $args)))))
${mine.map((name, i) => `
  (func (export "wedge1_${name}") (param $len i32) (result i64)
    (call $hook (i32.const ${i + 1}) (local.get $len)))`).join("")})`;

const dir = mkdtempSync(join(tmpdir(), "wedge-js-"));
const at = (name) => join(dir, name);
const tool = (name, ...args) => execFileSync("npx", ["--no-install", name, ...args], { stdio: ["ignore", "ignore", "inherit"] });
const features = ["--enable-bulk-memory", "--enable-sign-ext", "--enable-mutable-globals", "--enable-nontrapping-float-to-int", "--enable-multivalue", "--enable-reference-types", "--enable-simd"];
try {
  writeFileSync(at("stub.wat"), stub);
  writeFileSync(at("shim.wat"), shim);
  for (const name of ["stub", "shim"]) tool("wasm-as", ...features, at(`${name}.wat`), "-o", at(`${name}.wasm`));
  const engine = createRequire(import.meta.url).resolve("quickjs-wasi/quickjs.wasm");
  tool("wasm-merge", ...features, at("stub.wasm"), "env", engine, "qjs", at("shim.wasm"), "shim", "-o", at("merged.wasm"));
  // Only these exports stay, and what they need.
  const keep = ["memory", "_initialize", "wedge1_caps", "wedge1_alloc", "wedge1_init", ...mine.map((n) => `wedge1_${n}`)];
  writeFileSync(at("keep.json"), JSON.stringify(keep.map((name) => ({ name, export: name, root: true }))));
  tool("wasm-metadce", ...features, "--graph-file", at("keep.json"), "--strip-debug", at("merged.wasm"), "-o", "policy.wasm");
} finally {
  rmSync(dir, { recursive: true });
}
