package interop;

import java.util.Collection;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.common.TopicPartition;
import org.springframework.kafka.listener.ConsumerAwareRebalanceListener;
import org.springframework.stereotype.Component;

/** Prints assigned partitions. Boot adds it to every listener container. */
@Component
public class Assignments implements ConsumerAwareRebalanceListener {
    @Override
    public void onPartitionsAssigned(Consumer<?, ?> consumer, Collection<TopicPartition> partitions) {
        Trace.line("assigned group=%s partitions=%s", consumer.groupMetadata().groupId(), partitions);
    }
}
