import { Reject, plugin } from 'kafka-host-plugin';
import { object, string } from 'kafka-host-plugin/validate';

/** The value of a message: `{"name": "Kim"}`. What does not match is rejected as `invalid-message`, with the name of the field. */
const greeting = object({ name: string });

function handle({ name }) {
  const somebody = name.trim();
  // A rejection makes a dead letter at once; `throw new Retry(…)` would have the message delivered again.
  if (somebody === '') throw new Reject('no-name', 'the greeting is for nobody');
  console.info(`Hello, ${somebody}!`);
  // A text is the receipt of the outcome `done`.
  return 'greeted';
}

export default plugin({
  name: '{{name}}',
  version: '0.1.0',
  summary: 'Greets whoever a message names',
  topic: 'greetings',
  validate: greeting,
  handle,
});
