package mail;

import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.mail.javamail.JavaMailSender;
import org.springframework.stereotype.Component;

/** One e-mail at a time: each send() opens a connection and closes it. */
@Component
@ConditionalOnProperty(name = "mail.batch", havingValue = "false")
public class EachListener {
    private final Emails emails;
    private final JavaMailSender sender;

    public EachListener(Emails emails, JavaMailSender sender) {
        this.emails = emails;
        this.sender = sender;
    }

    @KafkaListener(topics = "${mail.topic}", groupId = "${mail.group}", concurrency = "${mail.concurrency}")
    public void consume(String json) {
        sender.send(emails.of(json));
    }
}
