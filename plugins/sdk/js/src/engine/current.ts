/** The build replaces this name. In a unit test there is none. */
declare const KAFKA_HOST_ENGINE: 'starlingmonkey' | 'quickjs' | undefined;

/** The engine that runs this code. */
export const engine: 'starlingmonkey' | 'quickjs' | 'node' =
  typeof KAFKA_HOST_ENGINE === 'undefined' ? 'node' : KAFKA_HOST_ENGINE;

/** A `u64` for the host. */
export const u64: (value: number) => bigint | number = engine === 'starlingmonkey' ? BigInt : (value) => value;
