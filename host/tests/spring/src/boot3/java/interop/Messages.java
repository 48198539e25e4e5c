package interop;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.annotation.RetryableTopic;
import org.springframework.retry.annotation.Backoff;
import org.springframework.stereotype.Service;

/** The consumer that moves between Spring and the host. */
@Service
public class Messages {
    private final Handler handler;

    public Messages(Handler handler) {
        this.handler = handler;
    }

    @KafkaListener(topics = "${interop.topic}", groupId = "${interop.group}", concurrency = "${interop.concurrency:1}")
    @RetryableTopic(attempts = "${interop.attempts:5}",
        backoff = @Backoff(delayExpression = "${interop.delay:1000}", multiplierExpression = "${interop.multiplier:2}"), dltTopicSuffix = ".dlt", numPartitions = "${interop.partitions:1}")
    public void consume(ConsumerRecord<String, String> message) {
        handler.handle(message);
    }
}
