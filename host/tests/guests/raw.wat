;; A plugin without a toolchain. It uses the canonical ABI in ways that Rust does not allow.
;;
;; The first byte of a message's value selects the action of `handle`. The length of the value selects the
;; action of `cabi_realloc` while the host passes the message. `hostile_components.rs` has the table of
;; both, and builds a component of the contract from this module.
(module
  (import "kafka-host:plugin/log@0.2.0" "write" (func $log (param i32 i32 i32 i32 i32)))
  (import "kafka-host:plugin/config@0.2.0" "get" (func $config (param i32 i32 i32)))
  (import "kafka-host:plugin/mail@0.2.0" "send" (func $mail (param i32 i32 i32)))

  (memory (export "memory") 4)
  (table $handlers 64 funcref)
  (table $grown 1 funcref)
  (type $handler (func (result i32)))
  (type $other (func (param f64)))
  (global $heap (mut i32) (i32.const 0x10000))
  ;; The action of post-return: 0 none, 1 trap, 2 loop, 3 a call of the host.
  (global $post (mut i32) (i32.const 0))

  (data (i32.const 0x100) "raw")
  (data (i32.const 0x110) "0.1.0")
  (data (i32.const 0x120) "raw-group")
  (data (i32.const 0x130) "raw.dlt")
  ;; Not UTF-8: a bare continuation byte, an overlong NUL, a surrogate.
  (data (i32.const 0x140) "ok\80\c0\80\ed\a0\80")

  ;; The description: three texts, the subscription with its retry policy, no attributes.
  (func (export "kafka-host:plugin/lifecycle@0.2.0#describe") (result i32)
    (call $text (i32.const 0x200) (i32.const 0x100) (i32.const 3))
    (call $text (i32.const 0x208) (i32.const 0x110) (i32.const 5))
    (call $text (i32.const 0x210) (i32.const 0x100) (i32.const 3))
    (call $text (i32.const 0x218) (i32.const 0x100) (i32.const 3))
    (call $text (i32.const 0x220) (i32.const 0x120) (i32.const 9))
    (call $text (i32.const 0x228) (i32.const 0x130) (i32.const 7))
    (i64.store (i32.const 0x238) (i64.const 1000))
    (f64.store (i32.const 0x240) (f64.const 1))
    (i64.store (i32.const 0x248) (i64.const 1000))
    (i64.store (i32.const 0x258) (i64.const 60000))
    (i32.const 0x200))

  (func $text (param $at i32) (param $bytes i32) (param $len i32)
    (i32.store (local.get $at) (local.get $bytes))
    (i32.store offset=4 (local.get $at) (local.get $len)))

  ;; Memory for data of the host. 7001 to 7005 are the lengths of values, 1540 that of a list of
  ;; 77 headers.
  (func $realloc (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (if (i32.eq (local.get $size) (i32.const 7001)) (then (return (i32.const 0xfffffff0))))
    (if (i32.eq (local.get $size) (i32.const 7002)) (then unreachable))
    (if (i32.eq (local.get $size) (i32.const 7003)) (then (loop $again (br $again))))
    (if (i32.eq (local.get $size) (i32.const 7004))
      (then (call $config (i32.const 0x100) (i32.const 3) (i32.const 0x300))))
    (if (i32.eq (local.get $size) (i32.const 7005)) (then (call $descend)))
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (if (i32.and (i32.eq (local.get $size) (i32.const 1540)) (i32.eq (local.get $align) (i32.const 4)))
      (then (local.set $at (i32.add (local.get $at) (i32.const 1)))))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (local.get $at))

  (func $handle (export "kafka-host:plugin/handler@0.2.0#handle") (param $batch i32) (param $len i32) (result i32)
    (local $which i32)
    ;; `value` of the first message: an option at 52, the address of its bytes at 56.
    (if (i32.load8_u offset=52 (local.get $batch))
      (then (local.set $which (i32.sub (i32.load8_u (i32.load offset=56 (local.get $batch))) (i32.const 0x41)))))
    (call_indirect $handlers (type $handler) (local.get $which)))

  (func (export "cabi_post_kafka-host:plugin/handler@0.2.0#handle") (param i32)
    (global.set $heap (i32.const 0x10000))
    (if (i32.eq (global.get $post) (i32.const 1)) (then unreachable))
    (if (i32.eq (global.get $post) (i32.const 2)) (then (loop $again (br $again))))
    (if (i32.eq (global.get $post) (i32.const 3))
      (then (call $config (i32.const 0x100) (i32.const 3) (i32.const 0x300)))))

  ;; A returned list of `len` outcomes at `at`.
  (func $list (param $at i32) (param $len i32) (result i32)
    (call $text (i32.const 0x400) (local.get $at) (local.get $len))
    (i32.const 0x400))

  ;; One outcome: its variant, and its first text.
  (func $outcome (param $variant i32) (param $bytes i32) (param $len i32) (result i32)
    (memory.fill (i32.const 0x500) (i32.const 0) (i32.const 40))
    (i32.store8 (i32.const 0x500) (local.get $variant))
    (call $text (i32.const 0x508) (local.get $bytes) (local.get $len))
    (call $list (i32.const 0x500) (i32.const 1)))

  (func $done (result i32) (call $outcome (i32.const 0) (i32.const 0) (i32.const 0)))
  (func $descend (call $descend) (call $descend))
  (func $info (param $bytes i32) (param $len i32) (param $fields i32) (param $count i32)
    (call $log (i32.const 2) (local.get $bytes) (local.get $len) (local.get $fields) (local.get $count)))

  ;; Returned values.
  (func $A (result i32) (call $done))
  (func $B (result i32) (call $outcome (i32.const 0) (i32.const 0x140) (i32.const 8)))
  (func $C (result i32) (i32.const 0xfffffff0))
  (func $D (result i32) (call $list (i32.const 0xfffff000) (i32.const 1)))
  (func $E (result i32) (call $list (i32.const 0x500) (i32.const -1)))
  (func $F (result i32) (i32.add (call $done) (i32.const 1)))
  (func $G (result i32) (call $list (i32.const 0x501) (i32.const 1)))
  (func $H (result i32) (call $outcome (i32.const 9) (i32.const 0) (i32.const 0)))
  ;; An `after-ms` with an invalid discriminant.
  (func $I (result i32)
    (call $outcome (i32.const 2) (i32.const 0x100) (i32.const 3))
    (i32.store8 (i32.const 0x518) (i32.const 7)))
  ;; A text that begins in memory and ends beyond it.
  (func $J (result i32) (call $outcome (i32.const 0) (i32.const 0x3fffc) (i32.const 100)))
  ;; A text whose end overflows.
  (func $K (result i32) (call $outcome (i32.const 0) (i32.const -1) (i32.const -1)))
  ;; 100,000 outcomes, all of them `done`.
  (func $L (result i32) (local $at i32)
    (local.set $at (i32.shl (memory.grow (i32.const 64)) (i32.const 16)))
    (call $list (local.get $at) (i32.const 100000)))
  ;; 4,000 outcomes that name the same 64 KiB.
  (func $M (result i32) (local $n i32)
    (drop (memory.grow (i32.const 3)))
    (loop $next
      (call $text (i32.add (i32.const 0x20008) (i32.mul (local.get $n) (i32.const 40))) (i32.const 0x1000) (i32.const 0xf000))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $n) (i32.const 4000))))
    (call $list (i32.const 0x20000) (i32.const 4000)))

  ;; Arguments of host calls.
  (func $N (result i32) (call $info (i32.const 0xfffffff0) (i32.const 8) (i32.const 0) (i32.const 0)) (call $done))
  (func $O (result i32) (call $info (i32.const 0x140) (i32.const 8) (i32.const 0) (i32.const 0)) (call $done))
  (func $P (result i32) (call $log (i32.const 77) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (call $done))
  (func $Q (result i32) (call $info (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)) (call $done))
  (func $R (result i32) (call $mail (i32.const 0) (i32.const -1) (i32.const 0x300)) (call $done))
  (func $S (result i32) (call $mail (i32.const 0x500) (i32.const 0) (i32.const 0xfffffff0)) (call $done))
  ;; 4,000 fields whose values are the same 60 KiB of NULs.
  (func $T (result i32) (local $n i32)
    (loop $next
      (call $text (i32.add (i32.const 0x20000) (i32.mul (local.get $n) (i32.const 16))) (i32.const 0x1000) (i32.const 0))
      (call $text (i32.add (i32.const 0x20008) (i32.mul (local.get $n) (i32.const 16))) (i32.const 0x1000) (i32.const 0xf000))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $n) (i32.const 4000))))
    (call $info (i32.const 0) (i32.const 0) (i32.const 0x20000) (i32.const 4000))
    (call $done))
  (func $U (result i32) (loop $again (call $config (i32.const 0x100) (i32.const 3) (i32.const 0x300)) (br $again)) unreachable)

  ;; Exhausted resources.
  (func $V (result i32)
    (loop $more (br_if $more (i32.ne (table.grow $grown (ref.null func) (i32.const 1000)) (i32.const -1))))
    unreachable)
  (func $W (result i32)
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    unreachable)
  (func $X (result i32) (drop (memory.grow (i32.const 65535))) unreachable)
  (func $Y (result i32) (call $descend) unreachable)
  (func $Z (result i32) (loop $again (br $again)) unreachable)

  ;; Traps.
  (func $a (result i32) unreachable)
  (func $b (result i32) (i32.div_s (i32.const 1) (i32.const 0)))
  (func $c (result i32) (i32.div_s (i32.const 0x80000000) (i32.const -1)))
  (func $d (result i32) (i32.trunc_f64_s (f64.const nan)))
  (func $e (result i32) (i32.load (i32.const -4)))
  (func $f (result i32) (memory.copy (i32.const 0) (i32.const 0) (i32.const -1)) unreachable)
  ;; A missing element, a null element, an element of another type.
  (func $g (result i32) (call_indirect $handlers (type $handler) (i32.const 1000)))
  (func $h (result i32) (call_indirect $handlers (type $handler) (i32.const 63)))
  (func $i (result i32) (call_indirect $handlers (type $other) (f64.const 0) (i32.const 0)) unreachable)

  ;; Actions after the return.
  (func $j (result i32) (global.set $post (i32.const 1)) (call $done))
  (func $k (result i32) (global.set $post (i32.const 2)) (call $done))
  (func $l (result i32) (global.set $post (i32.const 3)) (call $done))

  (elem (table $handlers) (i32.const 0) func
    $A $B $C $D $E $F $G $H $I $J $K $L $M $N $O $P $Q $R $S $T $U $V $W $X $Y $Z)
  ;; `a` is 32 behind `A`.
  (elem (table $handlers) (i32.const 32) func $a $b $c $d $e $f $g $h $i $j $k $l))
