;; A plugin whose description and outcome are bytes in its memory, so that a changed byte of the component
;; changes the values that the host reads.
(module
  (memory (export "memory") 1)
  (data (i32.const 0x100) "plugin0.1.0topic.one-groupletters.dlt")
  ;; Name, version, summary, topic, group and dead-letter topic: addresses and lengths.
  (data (i32.const 0x200) "\00\01\00\00\06\00\00\00" "\06\01\00\00\05\00\00\00" "\00\01\00\00\06\00\00\00"
    "\0b\01\00\00\05\00\00\00" "\0b\01\00\00\0f\00\00\00" "\1a\01\00\00\0b\00\00\00"
    ;; 3 retries after 1, 2 and 4 s, at most 60 s; no jitter; a minute of age; no attributes.
    "\03\00\00\00\00\00\00\00" "\e8\03\00\00\00\00\00\00" "\00\00\00\00\00\00\00\40"
    "\60\ea\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00" "\60\ea\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00")
  ;; A list of one outcome: a retry in a minute, with a code and a detail.
  (data (i32.const 0x300) "\08\03\00\00\01\00\00\00" "\02\00\00\00\00\00\00\00"
    "\00\01\00\00\06\00\00\00" "\06\01\00\00\05\00\00\00" "\01\00\00\00\00\00\00\00" "\60\ea\00\00\00\00\00\00")
  (global $heap (mut i32) (i32.const 0x1000))
  (func (export "kafka-host:plugin/lifecycle@0.2.0#describe") (result i32) (i32.const 0x200))
  (func (export "kafka-host:plugin/handler@0.2.0#handle") (param i32 i32) (result i32) (i32.const 0x300))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -8))))))
