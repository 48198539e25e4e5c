import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type BuildOptions, type Metafile } from 'esbuild';
import { placesOf } from './map.js';

export type Engine = 'starlingmonkey' | 'quickjs';
export const ENGINES: readonly Engine[] = ['starlingmonkey', 'quickjs'];

/** The root of this package. */
export const PACKAGE = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
/** The bundle's name, as stacks show it. */
export const BUNDLE = 'plugin.js';

export interface Bundle {
  /** One module, with the source map of the plugin's own frames at its end. */
  code: string;
  /** The interfaces that it imports, such as `kafka-host:plugin/log@0.2.0`. */
  imports: string[];
  /** Whether it uses `fetch`. */
  usesFetch: boolean;
}

/** A failure with the text that a user needs, and no stack. */
export class BuildError extends Error {
  override readonly name = 'BuildError';
}

/** Bundles the module that exports the plugin, for one engine. */
export async function bundle(entry: string, root: string, engine: Engine): Promise<Bundle> {
  const result = await build(options(entry, root, engine)).catch((error: unknown) => {
    // esbuild has printed what is wrong.
    throw new BuildError(`${relative(root, entry)} cannot be bundled`, { cause: error });
  });
  const code = result.outputFiles.find((file) => file.path.endsWith('.js'))?.text ?? '';
  const map = result.outputFiles.find((file) => file.path.endsWith('.map'))?.text ?? '{}';
  const [output] = Object.values(result.metafile.outputs).filter((output) => output.entryPoint !== undefined);
  const imports = [...new Set((output?.imports ?? []).filter(({ external }) => external).map(({ path }) => path))].sort();
  const source = engine === 'quickjs' ? withDefaultImports(code) : code;
  return { code: `${source}\n${placesAtTheEnd(map, root)}`, imports, usesFetch: uses(result.metafile, 'engine/fetch.js') };
}

function options(entry: string, root: string, engine: Engine) {
  const shim = (name: string) => join(PACKAGE, 'dist/engine', `${name}.js`);
  const isQuickJs = engine === 'quickjs';
  // The names of the plugin's module are those of the contract's exports, or it has a plugin as its default.
  const contents = `${isQuickJs ? `import ${JSON.stringify(shim('quickjs'))};\n` : ''}
    import * as module from ${JSON.stringify(entry)};
    const { lifecycle, handler } = module['default'] ?? module;
    export { lifecycle, handler };`;
  return {
    stdin: { contents, resolveDir: root, sourcefile: '<entry>', loader: 'js' },
    absWorkingDir: root,
    outfile: join(root, BUNDLE),
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['import'],
    target: 'es2022',
    // QuickJS runs no jobs of its own promises: async functions become generators with the SDK's.
    supported: isQuickJs ? { 'async-await': false, 'async-generator': false, 'for-await': false } : {},
    inject: isQuickJs ? [shim('timers'), shim('text'), shim('fetch')] : [shim('fetch')],
    define: { KAFKA_HOST_ENGINE: JSON.stringify(engine) },
    external: ['kafka-host:*', 'wasi:*'],
    minifySyntax: true,
    treeShaking: true,
    sourcemap: 'external',
    metafile: true,
    logLevel: 'warning',
    logOverride: { 'import-is-undefined': 'silent' },
  } satisfies BuildOptions & { write: false; metafile: true };
}

function uses(metafile: Metafile, suffix: string): boolean {
  return Object.values(metafile.outputs).some(({ inputs }) =>
    Object.entries(inputs).some(([path, { bytesInOutput }]) => path.endsWith(suffix) && bytesInOutput > 0),
  );
}

/** QuickJS has the functions of an interface only as members of the default export. No line moves. */
function withDefaultImports(code: string): string {
  let count = 0;
  const named = /import\s*\{([^}]*)\}\s*from\s*("(?:kafka-host|wasi):[^"]+");/g;
  return code.replace(named, (_, names: string, from: string) => {
    count += 1;
    return `import $wit${count} from ${from}; const {${names.replace(/ as /g, ': ')}} = $wit${count};`;
  });
}

/** The places of the plugin's own code. They come last, so that no line of the bundle moves. */
function placesAtTheEnd(map: string, root: string): string {
  const isOwn = (path: string) => !path.endsWith('<entry>') && !resolve(root, path).startsWith(`${PACKAGE}/dist/`);
  return `globalThis.__kafkaHostSourceMap = ${JSON.stringify(placesOf(map, BUNDLE, isOwn))};\n`;
}
