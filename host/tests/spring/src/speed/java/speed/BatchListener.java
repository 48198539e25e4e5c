package speed;

import com.fasterxml.jackson.core.JsonProcessingException;
import java.util.List;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.stereotype.Component;

/** All records of a poll, up to 500. */
@Component
@ConditionalOnProperty(name = "speed.batch", havingValue = "true")
public class BatchListener {
    private final Emails emails;

    public BatchListener(Emails emails) {
        this.emails = emails;
    }

    @KafkaListener(topics = "${speed.topic}", groupId = "${speed.group}", concurrency = "${speed.concurrency}", batch = "true")
    public void consume(List<String> batch) throws JsonProcessingException {
        for (String json : batch) {
            emails.read(json);
        }
    }
}
