package interop;

/** Lines for the tests, whole and at once. */
final class Trace {
    private Trace() {}

    static synchronized void line(String format, Object... values) {
        System.out.println(String.format(format, values));
        System.out.flush();
    }
}
