package interop;

/** Prints lines for the tests, each in one write. */
final class Trace {
    private Trace() {}

    static synchronized void line(String format, Object... values) {
        System.out.println(String.format(format, values));
        System.out.flush();
    }
}
