// Sends the messages of `email.send`, as plugins/email does, as far as a test of e-mails needs it: {"from", "to", "subject", "body"}.

import { plugin } from 'kafka-host-plugin';
import { send } from 'kafka-host-plugin/mail';
import { object, optional, string } from 'kafka-host-plugin/validate';
import { about } from './about.js';

export default plugin({
  ...about('mailer'),
  validate: object({ from: string, to: string, subject: optional(string), body: optional(string) }),
  handle: ({ from, to, subject = '', body = '' }) => {
    const [sender] = mailboxes(from);
    return send({ sender, to: mailboxes(to), subject, text: body }).response;
  },
});

// `Kim <kim@example.com>, lee@example.com`
function mailboxes(text) {
  return text.split(',').map((mailbox) => {
    const [, name, email] = /^\s*(?:"?([^"<]*?)"?\s*<)?([^<>]+?)>?\s*$/.exec(mailbox) ?? [];
    return { name: name || undefined, email };
  });
}
