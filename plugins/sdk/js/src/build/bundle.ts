import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type BuildOptions, type Metafile } from 'esbuild';

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
export async function bundle(entry: string, root: string, engine: Engine, minify: boolean): Promise<Bundle> {
  const result = await build(options(entry, root, engine, minify)).catch((error: unknown) => {
    // esbuild has printed what is wrong.
    throw new BuildError(`${relative(root, entry)} cannot be bundled`, { cause: error });
  });
  const code = result.outputFiles.find((file) => file.path.endsWith('.js'))?.text ?? '';
  const map = result.outputFiles.find((file) => file.path.endsWith('.map'))?.text ?? '{}';
  const [output] = Object.values(result.metafile.outputs).filter((output) => output.entryPoint !== undefined);
  const imports = [...new Set((output?.imports ?? []).filter(({ external }) => external).map(({ path }) => path))].sort();
  return { code: `${code}\n${mapAtTheEnd(map, root)}`, imports, usesFetch: uses(result.metafile, 'engine/fetch.js') };
}

function options(entry: string, root: string, engine: Engine, minify: boolean) {
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
    minifyWhitespace: minify,
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

/** The map as `source-map.ts` reads it. It comes last, so that no line of the bundle moves. */
function mapAtTheEnd(text: string, root: string): string {
  const { sources = [], mappings = '' } = JSON.parse(text) as { sources?: string[]; mappings?: string };
  const isOwn = (path: string) => !path.endsWith('<entry>') && !resolve(root, path).startsWith(`${PACKAGE}/dist/`);
  const map = { file: BUNDLE, sources: sources.map((path) => (isOwn(path) ? path : null)), mappings };
  return `globalThis.__kafkaHostSourceMap = ${JSON.stringify(map)};\n`;
}
