package mail;

import java.util.List;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.mail.SimpleMailMessage;
import org.springframework.mail.javamail.JavaMailSender;
import org.springframework.stereotype.Component;

/** All records of a poll (up to 500) in one send(), which uses one connection. */
@Component
@ConditionalOnProperty(name = "mail.batch", havingValue = "true")
public class BatchListener {
    private final Emails emails;
    private final JavaMailSender sender;

    public BatchListener(Emails emails, JavaMailSender sender) {
        this.emails = emails;
        this.sender = sender;
    }

    @KafkaListener(topics = "${mail.topic}", groupId = "${mail.group}", concurrency = "${mail.concurrency}", batch = "true")
    public void consume(List<String> batch) {
        sender.send(batch.stream().map(emails::of).toArray(SimpleMailMessage[]::new));
    }
}
