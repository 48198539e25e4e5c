package speed;

import com.fasterxml.jackson.core.JsonProcessingException;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.stereotype.Component;

/** One message at a time. */
@Component
@ConditionalOnProperty(name = "speed.batch", havingValue = "false")
public class EachListener {
    private final Emails emails;

    public EachListener(Emails emails) {
        this.emails = emails;
    }

    @KafkaListener(topics = "${speed.topic}", groupId = "${speed.group}", concurrency = "${speed.concurrency}")
    public void consume(String json) throws JsonProcessingException {
        emails.read(json);
    }
}
