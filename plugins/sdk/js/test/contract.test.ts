import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { $init, generateTypes } from '@bytecodealliance/jco-transpile/component';
import ts from 'typescript';

const root = fileURLToPath(new URL('..', import.meta.url));
const repository = join(root, '../../..');

test('the WIT of the package is that of the repository', () => {
  const names = (folder: string) => readdirSync(folder).filter((name) => name.endsWith('.wit'));
  assert.deepEqual(names(join(root, 'wit')), names(join(repository, 'wit')));
  for (const name of names(join(root, 'wit'))) {
    assert.equal(readFileSync(join(root, 'wit', name), 'utf8'), readFileSync(join(repository, 'wit', name), 'utf8'), name);
  }
});

/** The types of `contract.ts`, and those that jco makes of the WIT. */
const TYPES = {
  WitHeader: ['messages', 'Header'],
  WitMessage: ['messages', 'Message'],
  WitFailure: ['messages', 'Failure'],
  WitRetryLater: ['messages', 'RetryLater'],
  WitOutcome: ['messages', 'Outcome'],
  WitRetryPolicy: ['lifecycle', 'RetryPolicy'],
  WitSubscription: ['lifecycle', 'Subscription'],
  WitDescription: ['lifecycle', 'Description'],
  Level: ['log', 'Level'],
  WitAddress: ['mail', 'Address'],
  WitAttachment: ['mail', 'Attachment'],
  WitEmail: ['mail', 'Email'],
  WitRefusal: ['mail', 'Refusal'],
  WitReceipt: ['mail', 'Receipt'],
  WitEffectError: ['mail', 'MailError'],
  WitNewRecord: ['produce', 'NewRecord'],
  WitPosition: ['produce', 'Position'],
} as const;

/** Equal but for what the engines pass differently: a `u64` is a bigint or a number, none is undefined or null. */
const EQUAL = `
type Plain<T> = T extends bigint ? number : T extends null | undefined ? never
  : T extends Uint8Array ? 'bytes' : T extends object ? { [K in keyof T]-?: Plain<T[K]> } : T;
type Equal<A, B> = [Plain<A>] extends [Plain<B>] ? ([Plain<B>] extends [Plain<A>] ? true : false) : false;
`;

test('the types of the contract are those that jco makes of the WIT', async () => {
  await $init;
  const folder = mkdtempSync(join(root, 'dist/types-'));
  try {
    const files = generated().map(([name, content]) => {
      const path = join(folder, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
      return path;
    });
    const lines = Object.entries(TYPES).map(
      ([own, [module, name]], index) =>
        `const t${index}: Equal<import('../contract.js').${own}, import('kafka-host:plugin/${module}@0.2.0').${name}> = true; // ${own}`,
    );
    const check = join(folder, 'check.ts');
    writeFileSync(check, `${EQUAL}${lines.join('\n')}\nexport {};\n`);
    assert.deepEqual(errors([check, ...files]), []);
    writeFileSync(check, `${EQUAL}${lines[1]?.replace('WitMessage', 'WitHeader')}\nexport {};\n`);
    assert.equal(errors([check, ...files]).length, 1, 'other types are not equal');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** The files of one package, which jco reads as a text only. */
function generated(): [string, Uint8Array][] {
  const [first, ...others] = ['plugin', 'mail', 'produce'].map((name) => readFileSync(join(root, 'wit', `${name}.wit`), 'utf8'));
  const source = [first, ...others.map((text) => text.replace(/^package .*;$/m, ''))].join('\n');
  const options = { world: 'plugin', features: { tag: 'list', val: [] }, guest: true, tlaCompat: false } as const;
  const files = generateTypes('plugin', { ...options, wit: { tag: 'source', val: source } } as never) as [string, Uint8Array][];
  return files.filter(([name]) => name.startsWith('interfaces/'));
}

function errors(files: string[]): string[] {
  const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, strict: true, noEmit: true, types: [] };
  const program = ts.createProgram(files, options);
  return ts.getPreEmitDiagnostics(program).map(({ messageText, file, start = 0 }) => {
    const line = file?.text.slice(start).split('\n')[0] ?? '';
    return `${line}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
}
