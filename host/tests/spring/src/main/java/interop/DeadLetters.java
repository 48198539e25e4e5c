package interop;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.stereotype.Component;

/** The reader of the dead-letter topic in this application. */
@Component
public class DeadLetters {
    @KafkaListener(topics = "${interop.topic}.dlt", groupId = "${interop.group}-letters")
    public void consume(ConsumerRecord<String, String> letter) {
        Trace.line("dead at=%d original-topic=%s original-partition=%d original-offset=%d original-timestamp=%d timestamp-type=%s group=%s exception=%s cause=%s message=%s value=%s",
            System.currentTimeMillis(), text(letter, KafkaHeaders.ORIGINAL_TOPIC), bytes(letter, KafkaHeaders.ORIGINAL_PARTITION).getInt(),
            bytes(letter, KafkaHeaders.ORIGINAL_OFFSET).getLong(), bytes(letter, KafkaHeaders.ORIGINAL_TIMESTAMP).getLong(),
            text(letter, KafkaHeaders.ORIGINAL_TIMESTAMP_TYPE), text(letter, KafkaHeaders.DLT_ORIGINAL_CONSUMER_GROUP),
            text(letter, KafkaHeaders.EXCEPTION_FQCN), text(letter, KafkaHeaders.EXCEPTION_CAUSE_FQCN),
            text(letter, KafkaHeaders.EXCEPTION_MESSAGE).replace(' ', '_'), letter.value());
    }

    private static String text(ConsumerRecord<?, ?> letter, String name) {
        return StandardCharsets.UTF_8.decode(bytes(letter, name)).toString();
    }

    private static ByteBuffer bytes(ConsumerRecord<?, ?> letter, String name) {
        Header header = letter.headers().lastHeader(name);
        if (header == null) {
            throw new IllegalStateException("no header " + name);
        }
        return ByteBuffer.wrap(header.value());
    }
}
