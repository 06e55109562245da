;; {{name}}: sends long prompts to the target "large".
(module
  (memory (export "memory") 2)
  (data (i32.const 1024) "\01\00\00\00\05\00\00\00large\00\00\00") ;; action 1, not critical, 5 bytes, padded
  (global $in (mut i32) (i32.const 4096))
  (global $capacity (mut i32) (i32.const 126976))

  (func (export "wedge1_caps") (result i32) (i32.const 0))

  ;; A view that is longer than the buffer moves it to fresh pages.
  (func (export "wedge1_alloc") (param $size i32) (result i32)
    (local $page i32)
    (if (i32.gt_u (local.get $size) (global.get $capacity)) (then
      (local.set $page (memory.grow (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1))))
      (if (i32.eq (local.get $page) (i32.const -1)) (then (return (i32.const 0))))
      (global.set $in (i32.shl (local.get $page) (i32.const 16)))
      (global.set $capacity (local.get $size))))
    (global.get $in))

  (func (export "wedge1_init") (param $len i32) (result i32) (i32.const 0))

  (func (export "wedge1_request") (param $len i32) (result i64)
    (if (i32.gt_u (i32.load offset=48 (global.get $in)) (i32.const 2000)) ;; the prompt's tokens
      (then (return (i64.const 0x0000040000000010)))) ;; 16 bytes at 1024
    (i64.const 0)))
