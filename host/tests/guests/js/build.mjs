// Builds the guests in JavaScript: node build.mjs OUT. Each is built with StarlingMonkey and with QuickJS.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildComponent } from 'kafka-host-plugin/build';

const here = fileURLToPath(new URL('.', import.meta.url));
const out = resolve(process.argv[2]);
mkdirSync(out, { recursive: true });
for (const guest of ['parse', 'faulty', 'mailer', 'hostile']) {
  for (const [engine, suffix] of [['starlingmonkey', 'js'], ['quickjs', 'qjs']]) {
    const { component } = await buildComponent({ entry: join(here, `${guest}.js`), root: here, engine });
    writeFileSync(join(out, `${guest}_${suffix}.wasm`), component);
  }
}
