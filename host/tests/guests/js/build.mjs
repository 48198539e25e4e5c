// Builds the guests in JavaScript: node build.mjs SOURCES OUT. Each is built with StarlingMonkey (componentize-js, by its API: the
// command `jco componentize` fails on paths of WIT) and with QuickJS (componentize-qjs).

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { componentize as starlingMonkey } from '@bytecodealliance/componentize-js';
import { componentize as quickJs } from 'componentize-qjs';

const here = resolve(process.argv[2]);
const contract = resolve(here, '../../../../wit');
const out = resolve(process.argv[3]);
const work = mkdtempSync(join(tmpdir(), 'guests-js-'));

/// The sources with the `sleep` of this engine, and the WIT with the contract as a dependency.
function sources(sleep) {
  const dir = mkdtempSync(join(work, 'src-'));
  for (const name of ['parse.js', 'faulty.js', 'shared.js']) cpSync(join(here, name), join(dir, name));
  cpSync(join(here, sleep), join(dir, 'sleep.js'));
  cpSync(join(here, 'wit'), join(dir, 'wit'), { recursive: true });
  mkdirSync(join(dir, 'wit/deps/plugin'), { recursive: true });
  for (const name of ['plugin.wit', 'mail.wit', 'produce.wit']) cpSync(join(contract, name), join(dir, 'wit/deps/plugin', name));
  return dir;
}

async function build(dir, guest) {
  const path = join(dir, `${guest}.js`);
  const world = guest === 'faulty' ? 'clocked' : 'kafka-host:plugin/handler-only@0.2.0';
  if (dir === forQuickJs) {
    const { component } = await quickJs({
      witPath: join(dir, 'wit'), jsSource: readFileSync(path, 'utf8'), jsPath: path, moduleRoot: dir, world, sync: true,
    });
    writeFileSync(join(out, `${guest}_qjs.wasm`), component);
  } else {
    const { component } = await starlingMonkey({
      sourcePath: path, witPath: contract, worldName: 'handler-only', disableFeatures: ['http', 'fetch-event'],
    });
    writeFileSync(join(out, `${guest}_js.wasm`), component);
  }
}

const forQuickJs = sources('sleep-qjs.js');
const forStarlingMonkey = sources('sleep.js');
mkdirSync(out, { recursive: true });
try {
  for (const dir of [forStarlingMonkey, forQuickJs]) {
    for (const guest of ['parse', 'faulty']) await build(dir, guest);
  }
} finally {
  rmSync(work, { recursive: true });
}
