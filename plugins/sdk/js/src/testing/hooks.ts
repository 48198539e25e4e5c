import { readFile } from 'node:fs/promises';
import type { LoadHook, ResolveHook } from 'node:module';
import { fileURLToPath } from 'node:url';
import { transform } from 'esbuild';

const STUBS = new URL('./stubs.js', import.meta.url).href;

export const resolve: ResolveHook = async (specifier, context, next) => {
  if (specifier.startsWith('kafka-host:')) return { url: STUBS, shortCircuit: true };
  try {
    return await next(specifier, context);
  } catch (error) {
    // TypeScript names the module that it would write: `./order.js` is `./order.ts`.
    if (specifier.startsWith('.') && specifier.endsWith('.js')) return next(specifier.replace(/\.js$/, '.ts'), context);
    throw error;
  }
};

export const load: LoadHook = async (url, context, next) => {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context);
  const path = fileURLToPath(url);
  const source = await readFile(path, 'utf8');
  const { code } = await transform(source, { loader: 'ts', format: 'esm', target: 'node20', sourcemap: 'inline', sourcefile: path });
  return { format: 'module', source: code, shortCircuit: true };
};
