import { Reject, config, plugin, skipped } from 'kafka-host-plugin';
import { object, optional, string, type Infer } from 'kafka-host-plugin/validate';

/** The value of a message. What does not match is rejected as `invalid-message`, with the name of the field. */
const greeting = object({ name: string, language: optional(string) });

const GREETINGS = new Map([
  ['en', 'Hello'],
  ['ko', '안녕하세요'],
]);

function handle({ name, language }: Infer<typeof greeting>) {
  if (name.trim() === '') return skipped('there is nobody to greet');
  const words = GREETINGS.get(language ?? config.get('language') ?? 'en');
  // A rejection makes a dead letter at once; `throw new Retry(…)` would have the message delivered again.
  if (words === undefined) throw new Reject('unknown-language', `there is no greeting in ${language}`);
  const text = `${words}, ${name}!`;
  console.info(text);
  // A text is the receipt of the outcome `done`.
  return text;
}

export default plugin({
  name: '{{name}}',
  version: '0.1.0',
  summary: 'Greets everybody by name',
  topic: '{{name}}',
  validate: greeting,
  handle,
});
