;; A plugin that pings "one". Its outcome is `done`, or a rejection with the error of the ping as detail.
(module
  (import "test:ping/ping@1.0.0" "ping" (func $ping (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0x100) "plugin0.1.0topicgroupdead-letterone")
  ;; Name, version, summary, topic, consumer group and dead-letter topic, by address and length.
  (data (i32.const 0x200) "\00\01\00\00\06\00\00\00" "\06\01\00\00\05\00\00\00" "\00\01\00\00\06\00\00\00"
    "\0b\01\00\00\05\00\00\00" "\10\01\00\00\05\00\00\00" "\15\01\00\00\0b\00\00\00"
    "\01\00\00\00\00\00\00\00" "\e8\03\00\00\00\00\00\00" "\00\00\00\00\00\00\00\40"
    "\60\ea\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00" "\60\ea\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00")
  ;; A list of one outcome: `done` with an empty receipt.
  (data (i32.const 0x300) "\08\03\00\00\01\00\00\00")
  (global $heap (mut i32) (i32.const 0x1000))
  (func (export "kafka-host:plugin/lifecycle@0.2.0#describe") (result i32) (i32.const 0x200))
  (func (export "kafka-host:plugin/handler@0.2.0#handle") (param i32 i32) (result i32)
    (call $ping (i32.const 0x120) (i32.const 3) (i32.const 0x400))
    (if (i32.load8_u (i32.const 0x400)) (then
      (i32.store8 (i32.const 0x308) (i32.const 3))
      (i32.store (i32.const 0x310) (i32.const 0x100))
      (i32.store (i32.const 0x314) (i32.const 6))
      (i32.store (i32.const 0x318) (i32.load (i32.const 0x404)))
      (i32.store (i32.const 0x31c) (i32.load (i32.const 0x408)))))
    (i32.const 0x300))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -8))))))
