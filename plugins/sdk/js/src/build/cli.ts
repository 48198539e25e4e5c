import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { BuildError, ENGINES, type Engine } from './bundle.js';
import { buildComponent } from './component.js';

const HELP = `Builds a plugin of the Kafka host: kafka-host-build [ENTRY] [OPTIONS]

ENTRY is the module that exports the plugin as its default: src/plugin.ts or src/plugin.js if it is not given.

  --engine ENGINE  starlingmonkey (default; has fetch, timers, web APIs) or quickjs (small, fast to start)
  --out FILE       dist/NAME.wasm by default, with the name in package.json
  --wit FOLDER     a folder with further WIT packages that the plugin imports, a folder for each
  --no-check       without type check (tsc with the tsconfig.json of this folder)
  --help

Examples:
  kafka-host-build
  kafka-host-build src/orders.ts --engine quickjs --out orders.wasm
`;

const ENTRIES = ['src/plugin.ts', 'src/plugin.js', 'plugin.ts', 'plugin.js'];

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      engine: { type: 'string', default: 'starlingmonkey' },
      out: { type: 'string' },
      wit: { type: 'string', multiple: true, default: [] },
      'no-check': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(HELP);
  const engine = ENGINES.find((name) => name === values.engine);
  if (!engine) throw new BuildError(`${values.engine}: no such engine\n  help: ${ENGINES.join(' or ')}`);
  const root = process.cwd();
  const entry = entryOf(root, positionals);
  const out = resolve(root, values.out ?? join('dist', `${nameOf(root)}.wasm`));
  if (!values['no-check']) checkTypes(root);
  await build(entry, root, engine, out, values);
}

async function build(entry: string, root: string, engine: Engine, out: string, given: { wit: string[] }) {
  const from = Date.now();
  const wit = given.wit.map((folder) => resolve(root, folder));
  const built = await buildComponent({ entry, root, engine, wit });
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, built.component);
  const size = (built.component.length / 2 ** 20).toFixed(1);
  const imports = [...built.imports, ...(built.usesFetch ? ['wasi:http'] : [])].join(', ');
  const seconds = ((Date.now() - from) / 1000).toFixed(1);
  console.log(`${relative(root, out)}: ${size} MiB, ${engine}, in ${seconds} s; imports ${imports}`);
}

function entryOf(root: string, [given, ...more]: string[]): string {
  if (more.length) throw new BuildError(`${more.join(' ')}: only one module can be built at a time`);
  const found = given ?? ENTRIES.find((path) => existsSync(join(root, path)));
  if (found === undefined) throw new BuildError(`none of ${ENTRIES.join(', ')} is there\n  help: name the module that exports the plugin`);
  const entry = resolve(root, found);
  if (!existsSync(entry)) throw new BuildError(`${found}: no such file`);
  return entry;
}

function nameOf(root: string): string {
  const path = join(root, 'package.json');
  if (!existsSync(path)) return 'plugin';
  const { name = 'plugin' } = JSON.parse(readFileSync(path, 'utf8')) as { name?: string };
  return name.replace(/^.*\//, '');
}

/** tsc prints what is wrong. */
function checkTypes(root: string): void {
  if (!existsSync(join(root, 'tsconfig.json'))) return;
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const { status } = spawnSync(process.execPath, [tsc, '--noEmit', '-p', root], { stdio: 'inherit' });
  if (status !== 0) throw new BuildError('the types do not match\n  help: --no-check builds it anyway');
}

main().catch((error: unknown) => {
  const isUsage = error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
  const text = error instanceof BuildError || isUsage ? (error as Error).message : error instanceof Error ? error.stack : String(error);
  console.error(`error: ${text}`);
  process.exitCode = error instanceof BuildError || isUsage ? 2 : 1;
});
