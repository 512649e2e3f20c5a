// PixelMed's validator of structured reports for many files in one process: compiling its rules takes most of a run.
// java -cp pixelmed.jar JudgeReports.java FILE... writes, for every file, "File: PATH" and what the validator says.

import com.pixelmed.validate.DicomSRValidator;

public class JudgeReports {
    public static void main(String[] files) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String file : files) {
            System.out.println("File: " + file);
            System.out.println(validator.validate(file));
        }
    }
}
