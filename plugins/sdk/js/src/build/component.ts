import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BUNDLE, BuildError, bundle, type Bundle, type Engine } from './bundle.js';
import { WORLD, writeWit } from './world.js';

export interface BuildOptions {
  /** The module that exports the plugin. */
  entry: string;
  /** The folder to which the names of sources in stacks are relative. */
  root: string;
  engine: Engine;
  /** Folders with further WIT packages. */
  wit?: string[];
}

export interface Built {
  component: Uint8Array;
  /** The interfaces of the plugin's own imports. The engine has more of WASI. */
  imports: string[];
  usesFetch: boolean;
}

/** Builds a component. */
export async function buildComponent(options: BuildOptions): Promise<Built> {
  const bundled = await bundle(options.entry, options.root, options.engine);
  if (bundled.usesFetch && options.engine === 'quickjs') {
    throw new BuildError('the plugin uses `fetch`, which QuickJS does not have\n  help: --engine starlingmonkey has it');
  }
  const work = mkdtempSync(join(tmpdir(), 'kafka-host-build-'));
  try {
    const wit = join(work, 'wit');
    writeWit(wit, bundled.imports, options.wit ?? []);
    const source = join(work, 'source', BUNDLE);
    const component = await (options.engine === 'quickjs' ? quickJs : starlingMonkey)(bundled, source, wit);
    return { component, imports: bundled.imports, usesFetch: bundled.usesFetch };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function quickJs({ code }: Bundle, source: string, witPath: string): Promise<Uint8Array> {
  const { componentize } = await import('componentize-qjs');
  const moduleRoot = writeSource(source, code);
  const { component } = await componentize({
    witPath,
    jsSource: code,
    jsPath: source,
    moduleRoot,
    world: WORLD,
    // The host calls synchronous exports.
    sync: true,
  });
  return component;
}

async function starlingMonkey({ code, usesFetch }: Bundle, source: string, witPath: string): Promise<Uint8Array> {
  const { componentize } = await import('@bytecodealliance/componentize-js');
  writeSource(source, code);
  const { component } = await componentize({
    sourcePath: source,
    witPath,
    worldName: WORLD,
    // `fetch-event` answers HTTP requests, which no plugin does.
    disableFeatures: usesFetch ? ['fetch-event'] : ['http', 'fetch-event'],
  });
  return component;
}

function writeSource(path: string, code: string): string {
  const folder = join(path, '..');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, code);
  return folder;
}
