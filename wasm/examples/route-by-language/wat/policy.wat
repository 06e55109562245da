;; Sends a request to the target that the config names for the client's first language: {"fr": "eu", "*": "us"}.
;; Written by hand, without an SDK: it shows all that a policy has to export.
;;
;; Memory: 1024 the action list, 4096 the config, 8192 the first input buffer.
(module
  (memory (export "memory") 2)
  (data (i32.const 0) "accept-language")
  (data (i32.const 16) "*")
  (global $config_len (mut i32) (i32.const 0))
  (global $in (mut i32) (i32.const 8192))
  (global $capacity (mut i32) (i32.const 122880))
  (global $found_len (mut i32) (i32.const 0))

  (func (export "wedge1_caps") (result i32) (i32.const 16)) ;; the listed headers

  ;; A view that is longer than the buffer moves it to fresh pages.
  (func (export "wedge1_alloc") (param $size i32) (result i32)
    (local $page i32)
    (if (i32.gt_u (local.get $size) (global.get $capacity)) (then
      (local.set $page (memory.grow (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1))))
      (if (i32.eq (local.get $page) (i32.const -1)) (then (return (i32.const 0))))
      (global.set $in (i32.shl (local.get $page) (i32.const 16)))
      (global.set $capacity (local.get $size))))
    (global.get $in))

  ;; The config is kept as it is, and searched for each request.
  (func (export "wedge1_init") (param $len i32) (result i32)
    (if (i32.gt_u (local.get $len) (i32.const 4096)) (then (return (i32.const -4))))
    (memory.copy (i32.const 4096) (global.get $in) (local.get $len))
    (global.set $config_len (local.get $len))
    (i32.const 0))

  (func $lower (param $c i32) (result i32)
    (if (i32.lt_u (i32.sub (local.get $c) (i32.const 65)) (i32.const 26))
      (then (return (i32.or (local.get $c) (i32.const 32)))))
    (local.get $c))

  ;; Whether $n bytes at $a and $b are equal but for the case of ASCII letters.
  (func $equal (param $a i32) (param $b i32) (param $n i32) (result i32)
    (local $i i32)
    (loop $next
      (if (i32.ge_u (local.get $i) (local.get $n)) (then (return (i32.const 1))))
      (if (i32.ne
            (call $lower (i32.load8_u (i32.add (local.get $a) (local.get $i))))
            (call $lower (i32.load8_u (i32.add (local.get $b) (local.get $i)))))
        (then (return (i32.const 0))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next))
    (unreachable))

  ;; Where the string that begins at $at, behind its first quote, ends.
  (func $string_end (param $at i32) (param $end i32) (result i32)
    (loop $next
      (if (i32.ge_u (local.get $at) (local.get $end)) (then (return (local.get $end))))
      (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 34)) (then (return (local.get $at))))
      (local.set $at (i32.add (local.get $at)
        (select (i32.const 2) (i32.const 1) (i32.eq (i32.load8_u (local.get $at)) (i32.const 92)))))
      (br $next))
    (unreachable))

  ;; The target of a language, or 0; its length is left in $found_len.
  (func $target_of (param $language i32) (param $len i32) (result i32)
    (local $at i32) (local $end i32) (local $key i32) (local $key_len i32) (local $value i32) (local $last i32)
    (local.set $at (i32.const 4096))
    (local.set $end (i32.add (i32.const 4096) (global.get $config_len)))
    (loop $member
      (local.set $key (i32.add (call $string_end (local.get $at) (local.get $end)) (i32.const 1)))
      (if (i32.ge_u (local.get $key) (local.get $end)) (then (return (i32.const 0))))
      (local.set $at (call $string_end (local.get $key) (local.get $end)))
      (local.set $key_len (i32.sub (local.get $at) (local.get $key)))
      (local.set $value (i32.add
        (call $string_end (i32.add (local.get $at) (i32.const 1)) (local.get $end)) (i32.const 1)))
      (local.set $last (call $string_end (local.get $value) (local.get $end)))
      (local.set $at (i32.add (local.get $last) (i32.const 1)))
      (if (i32.eq (local.get $key_len) (local.get $len)) (then
        (if (call $equal (local.get $key) (local.get $language) (local.get $len)) (then
          (global.set $found_len (i32.sub (local.get $last) (local.get $value)))
          (return (local.get $value))))))
      (br $member))
    (unreachable))

  ;; How many ASCII letters stand at $at.
  (func $letters (param $at i32) (param $len i32) (result i32)
    (local $n i32)
    (loop $next
      (if (i32.ge_u (local.get $n) (local.get $len)) (then (return (local.get $n))))
      (if (i32.ge_u
            (i32.sub (call $lower (i32.load8_u (i32.add (local.get $at) (local.get $n)))) (i32.const 97))
            (i32.const 26))
        (then (return (local.get $n))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $next))
    (unreachable))

  ;; The target of the first header named accept-language, or 0.
  (func $decide (result i32)
    (local $row i32) (local $left i32) (local $at i32)
    (if (i32.load offset=124 (global.get $in)) (then ;; the length of the span of headers
      (local.set $row (i32.add (global.get $in) (i32.load offset=120 (global.get $in))))
      (local.set $left (i32.load (local.get $row)))
      (local.set $row (i32.add (local.get $row) (i32.const 4)))))
    (block $done (loop $header
      (br_if $done (i32.eqz (local.get $left)))
      (if (i32.eq (i32.load offset=4 (local.get $row)) (i32.const 15)) (then
        (if (call $equal (i32.const 0) (i32.add (global.get $in) (i32.load (local.get $row))) (i32.const 15)) (then
          (local.set $at (i32.add (global.get $in) (i32.load offset=8 (local.get $row))))
          (return (call $target_of (local.get $at)
            (call $letters (local.get $at) (i32.load offset=12 (local.get $row)))))))))
      (local.set $row (i32.add (local.get $row) (i32.const 16)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $header)))
    (i32.const 0))

  (func (export "wedge1_request") (param $len i32) (result i64)
    (local $target i32)
    (local.set $target (call $decide))
    (if (i32.eqz (local.get $target))
      (then (local.set $target (call $target_of (i32.const 16) (i32.const 1)))))
    (if (i32.or (i32.eqz (local.get $target)) (i32.eqz (global.get $found_len))) (then (return (i64.const 0))))
    (i32.store (i32.const 1024) (i32.const 1)) ;; action 1: target
    (i32.store (i32.const 1028) (global.get $found_len))
    (memory.copy (i32.const 1032) (local.get $target) (global.get $found_len))
    ;; The list is 8 bytes and the name, padded to 4.
    (i64.or
      (i64.shl (i64.const 1024) (i64.const 32))
      (i64.extend_i32_u (i32.and (i32.add (global.get $found_len) (i32.const 11)) (i32.const -4))))))
