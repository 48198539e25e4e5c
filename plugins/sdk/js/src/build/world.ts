import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError, PACKAGE } from './bundle.js';

/** The name of the world. */
export const WORLD = 'kafka-host:build/plugin';

/**
 * Writes a folder of WIT with a world that imports these interfaces and no other, so that the host sees which
 * capabilities the plugin uses. `extra` are folders with further WIT packages, a folder for each.
 */
export function writeWit(to: string, imports: string[], extra: string[]): void {
  const deps = join(to, 'deps');
  mkdirSync(join(deps, 'kafka-host'), { recursive: true });
  const own = join(PACKAGE, 'wit');
  for (const file of readdirSync(own).filter((file) => file.endsWith('.wit'))) {
    cpSync(join(own, file), join(deps, 'kafka-host', file));
  }
  for (const folder of [join(own, 'deps'), ...extra]) cpSync(folder, deps, { recursive: true });
  const known = interfaces(deps);
  const missing = imports.filter((name) => !known.has(name));
  if (missing.length) {
    throw new BuildError(
      `the plugin imports ${missing.join(', ')}, whose WIT is not there\n  help: --wit FOLDER names a folder with WIT packages, a folder for each`,
    );
  }
  const lines = [
    'package kafka-host:build;',
    '',
    'world plugin {',
    ...imports.map((name) => `  import ${name};`),
    '  export kafka-host:plugin/lifecycle@0.2.0;',
    '  export kafka-host:plugin/handler@0.2.0;',
    '}',
  ];
  writeFileSync(join(to, 'world.wit'), `${lines.join('\n')}\n`);
}

/** The names of all interfaces in the packages, such as `kafka-host:plugin/log@0.2.0`. */
function interfaces(deps: string): Set<string> {
  const names = new Set<string>();
  for (const folder of readdirSync(deps)) {
    const files = existsSync(join(deps, folder)) ? readdirSync(join(deps, folder)) : [];
    const texts = files.filter((file) => file.endsWith('.wit')).map((file) => readFileSync(join(deps, folder, file), 'utf8'));
    const [, name, version] = /^\s*package\s+([\w:-]+)(@[^;\s]+)?;/m.exec(texts.join('\n')) ?? [];
    for (const text of texts) {
      for (const [, item] of text.matchAll(/^interface\s+([\w-]+)/gm)) names.add(`${name}/${item}${version ?? ''}`);
    }
  }
  return names;
}
