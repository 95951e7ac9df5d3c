import com.sun.source.util.JavacTask;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaFileObject;
import javax.tools.ToolProvider;

/** Parses Java files with javac, without the libraries that they import. */
class Parse {
  public static void main(String[] files) throws Exception {
    var compiler = ToolProvider.getSystemJavaCompiler();
    var errors = new DiagnosticCollector<JavaFileObject>();
    var sources = compiler.getStandardFileManager(errors, null, null).getJavaFileObjects(files);
    ((JavacTask) compiler.getTask(null, null, errors, null, null, sources)).parse();
    errors.getDiagnostics().forEach(System.err::println);
    System.exit(errors.getDiagnostics().isEmpty() ? 0 : 1);
  }
}
