// Runs every fixture registered in this program, or what has the given words in its name; the names of tests are sentences.
#include <cppunit/BriefTestProgressListener.h>
#include <cppunit/CompilerOutputter.h>
#include <cppunit/Test.h>
#include <cppunit/TestResult.h>
#include <cppunit/TestResultCollector.h>
#include <cppunit/extensions/TestFactoryRegistry.h>

#include <iostream>
#include <memory>
#include <string>

namespace {

void run_named(CppUnit::Test& test, const std::string& words, CppUnit::TestResult& result) {
  if (test.getChildTestCount() == 0) {
    if (test.getName().find(words) != std::string::npos) test.run(&result);
    return;
  }
  for (int child = 0; child < test.getChildTestCount(); ++child) run_named(*test.getChildTestAt(child), words, result);
}

}  // namespace

int main(int count, char** words) {
  CppUnit::TestResult controller;
  CppUnit::TestResultCollector collector;
  CppUnit::BriefTestProgressListener progress;
  controller.addListener(&collector);
  controller.addListener(&progress);
  const std::unique_ptr<CppUnit::Test> all(CppUnit::TestFactoryRegistry::getRegistry().makeTest());
  run_named(*all, count > 1 ? words[1] : "", controller);
  CppUnit::CompilerOutputter outputter(&collector, std::cerr);
  outputter.write();
  // A program without tests must not look like one whose tests passed.
  return collector.runTests() > 0 && collector.wasSuccessful() ? 0 : 1;
}
